"""A read model, a projector beside it, and as many API instances as a test wants."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.query import projection
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.limits import Limits
from services.query.projector import Projector
from services.query.wire import Wire
from shared import db
from shared.kafka.consumer import Received
from shared.settings import Settings
from shared.tenants import Tenants
from tests.support.cluster import token
from tests.support.live import Client
from tests.support.query_facts import COMPANY, NO_TENANTS, read_model
from tests.support.query_instance import Instance, instance


@dataclass
class Stage:
    dsn: str
    redis_url: str
    pool: db.Pool
    keys: Keys
    projector: Projector
    http: aiohttp.ClientSession
    settings: Settings

    async def told(self, *told: Received) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            after = await self.projector.apply(conn, told)
        await after(committed=True)

    def client(self, user: str = "7", company: int = COMPANY, **claims: Any) -> Client:
        return Client(self.http, {"Authorization": f"Bearer {token(company, user, **claims)}"})

    async def page(self, user: str = "7") -> dict[str, Any]:
        """What the API answers, by an instance that has no streams."""
        async with self.instance() as running:
            client = self.client(user)
            await client.read(running.url)
            return {
                "contacts": list(client.copy.contacts.values()),
                "total": client.copy.total,
                "status": client.copy.status,
            }

    def instance(self, limits: Limits | None = None) -> AbstractAsyncContextManager[Instance]:
        return instance(self.dsn, self.redis_url, self.pool, self.keys, self.settings, limits)


@asynccontextmanager
async def staged(dsn: str, redis_url: str, settings: Settings) -> AsyncIterator[Stage]:
    async with (
        read_model(dsn) as pool,
        Wire(redis_url) as wire,
        aiohttp.ClientSession() as http,
    ):
        keys = Keys(await projection.store_id(pool))
        projector = Projector(Tenants(NO_TENANTS), Invalidation(wire, keys, pool))
        yield Stage(dsn, redis_url, pool, keys, projector, http, settings)
