"""Puts the commands together, which every API process offers.

Rule: the webhook door in the same process waits for nothing here, and its readiness does not
depend on it: while Postgres is away, only commands are answered with 503.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp

from services.ingest.commands import command_store, undertaking_store
from services.ingest.commands.api import Commands
from services.ingest.commands.doing import Doing
from services.ingest.commands.idempotency import Idempotency
from services.ingest.commands.making import Making
from services.ingest.commands.neighbours import Neighbours
from services.ingest.commands.telling import Telling
from services.ingest.outlet import Outlet
from services.ingest.preparing import SCHEMA, Prepared
from services.ingest.settings import IngestSettings
from shared import db, lifecycle
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.openapi import Endpoint
from shared.pipedrive.client import Clients
from shared.tenants import Tenants

log = logging.getLogger(__name__)

FORGET_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Role:
    pool: db.Pool
    commands: Commands

    def endpoints(self) -> list[Endpoint]:
        return self.commands.endpoints()

    async def run(self, stop: asyncio.Event) -> None:
        """Delete what is older than a day, once the tables exist."""
        await lifecycle.first_of(None, self.commands.prepared.tables, stop)
        while not await lifecycle.wait_or_stop(FORGET_EVERY_S, stop):
            try:
                with db.errors():
                    await command_store.forget(self.pool)
                    await undertaking_store.forget(self.pool)
            except Unavailable as outage:
                log.warning("commands_not_forgotten", extra={"reason": str(outage)})


@asynccontextmanager
async def assembled(
    settings: IngestSettings,
    tenants: Tenants,
    clients: Clients,
    publisher: Publisher,
    outlet: Outlet,
    prepared: Prepared,
) -> AsyncIterator[Role]:
    dsn = settings.database_url.get_secret_value()
    async with (
        db.pool(dsn, SCHEMA, size=settings.pool_size, answer_s=db.REQUEST_ANSWER_S) as pool,
        aiohttp.ClientSession() as session,
    ):
        neighbours = Neighbours(
            session, settings.orgs_url.rstrip("/"), settings.query_url.rstrip("/")
        )
        doing = Doing(
            Making(pool, settings.pipedrive_deadline_seconds),
            Telling(publisher, outlet),
            neighbours,
            clients,
            tenants,
        )
        yield Role(pool, Commands(doing, Idempotency(pool), prepared))
