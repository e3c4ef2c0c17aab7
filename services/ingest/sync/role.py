"""Puts the sync together: what a process of this role runs, and what every API process offers.

Rule: the webhook door in the same process waits for nothing here: Postgres may be away at start,
and the sync begins when it is up.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from services.ingest.preparing import SCHEMA, Prepared
from services.ingest.settings import IngestSettings
from services.ingest.sync import connection_store, hearing
from services.ingest.sync.api import SyncApi
from services.ingest.sync.backpressure import READERS, Backpressure
from services.ingest.sync.completing import Completer
from services.ingest.sync.connecting import Connecting
from services.ingest.sync.runner import Runner
from services.ingest.sync.running import Parts
from services.ingest.sync.watching import Watcher
from services.ingest.sync.written import Written
from shared import db, lifecycle
from shared.app import Ping
from shared.errors import Unavailable
from shared.kafka.consumer import Consumer
from shared.kafka.fencing import FencedPublisher
from shared.kafka.group_lag import GroupLags
from shared.kafka.publisher import Publisher
from shared.openapi import Endpoint
from shared.outbox import Relay
from shared.pipedrive.budget import Budget
from shared.pipedrive.client import Clients
from shared.tenants import Tenants

ROLE: Final = "sync"
LOOK_S: Final = 1.0
PUBLISH_S: Final = 30.0
"""A sync has time: it waits for Kafka rather than publishing a page twice."""


@dataclass(frozen=True, slots=True)
class Sync:
    """`hearing_pool` does not wait for the disk: what it loses is read again."""

    parts: Parts
    pool: db.Pool
    hearing_pool: db.Pool
    budget: Budget
    tenants: Tenants
    prepared: Prepared
    relay: Relay

    @property
    def connecting(self) -> Connecting:
        return Connecting(self.parts, self.store, self.tenants)

    def endpoints(self) -> list[Endpoint]:
        return SyncApi(self.store, self.budget, self.connecting).endpoints()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[db.Connection]:
        """Raises:
        Unavailable: Postgres is away, or its tables do not exist even after a moment.
        """
        await self.prepared.has_tables("the sync")
        with db.errors():
            async with self.pool.acquire() as conn:
                yield conn

    def pings(self) -> dict[str, Ping]:
        return {"postgres": partial(db.ping, self.pool)}

    def consumer(self) -> Consumer:
        """Follows the log."""
        return Consumer(
            hearing.slowly(self.parts.settings),
            service=SCHEMA,
            topics=hearing.TOPICS,
            pool=self.hearing_pool,
            apply=hearing.apply,
            publisher=self.parts.publisher,
            pace=hearing.PACE,
            passes_over=self.parts.written.has,
        )

    def _once_connected(
        self, loop: lifecycle.Loop
    ) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
        """Following the log costs as much as accepting webhooks, and is of use only where a sync
        will compare with it; a later start reads the log from its beginning.
        """

        async def run(stop: asyncio.Event) -> None:
            while not await self._anyone_connected():
                if await lifecycle.wait_or_stop(LOOK_S, stop):
                    return
            await loop(stop)

        return run

    async def _anyone_connected(self) -> bool:
        try:
            async with self.store() as conn:
                return await connection_store.are_any(conn)
        except Unavailable:
            return False

    async def run(self, stop: asyncio.Event) -> None:
        """In a process that does the work, once the tables exist."""
        await self.prepared.has_all(stop)
        if stop.is_set():  # without its tables each loop would look for them once more
            return
        consumer = self.consumer()
        loops = (
            Runner(self.parts, self.pool).run,
            Watcher(self.parts, self.pool, self.tenants).run,
            Completer(self.parts, self.pool).run,
            self.relay.run,
            self._once_connected(consumer.run),
            self._once_connected(consumer.watch),
        )
        await lifecycle.together(loops, stop)


@asynccontextmanager
async def assembled(
    settings: IngestSettings,
    tenants: Tenants,
    budget: Budget,
    clients: Clients,
    prepared: Prepared,
) -> AsyncIterator[Sync]:
    async with (
        Publisher(settings, deadline_s=PUBLISH_S) as publisher,
        FencedPublisher(settings, SCHEMA, deadline_s=PUBLISH_S) as relayed,
        GroupLags(settings, READERS) as lags,
        # Users wait for this one, and the background work needs little of it.
        db.pool(
            _dsn(settings), SCHEMA, size=settings.pool_size, answer_s=db.REQUEST_ANSWER_S
        ) as pool,
        db.pool(_dsn(settings), SCHEMA, size=2, durable=False) as hearing_pool,
    ):
        parts = Parts(settings, clients, publisher, Backpressure(lags), Written())
        relay = Relay(_dsn(settings), SCHEMA, relayed)
        yield Sync(parts, pool, hearing_pool, budget, tenants, prepared, relay)


def _dsn(settings: IngestSettings) -> str:
    return settings.database_url.get_secret_value()
