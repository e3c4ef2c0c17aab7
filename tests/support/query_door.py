"""The query service's API as one process serves it, and a projector beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.query import api, projection
from services.query.cache import Cache
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.limits import Limits
from services.query.parts import Parts
from services.query.projector import Projector
from services.query.watch import Watch
from services.query.wire import Wire
from shared import db
from shared.auth import Authenticator
from shared.kafka.consumer import Received
from shared.tenants import Tenants
from tests.support.cluster import SECRET, token
from tests.support.query_facts import COMPANY, NO_TENANTS, read_model


class Door:
    def __init__(self, pool: db.Pool, wire: Wire, keys: Keys, limits: Limits | None) -> None:
        self.pool = pool
        self.keys = keys
        self.watch = Watch(pool)
        self.cache = Cache(wire, keys)
        self.projector = Projector(Tenants(NO_TENANTS), Invalidation(wire, keys, pool))
        self.parts = Parts(pool, self.cache, self.watch, limits or Limits())
        app = api.application(self.parts, {}, Authenticator(SecretStr(SECRET), None))
        self.client: TestClient[Any, Any] = TestClient(TestServer(app))

    async def told(self, *told: Received) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            after = await self.projector.apply(conn, told)
        await after(committed=True)

    async def get(
        self,
        path: str,
        *,
        company: int = COMPANY,
        user: str = "7",
        headers: dict[str, str] | None = None,
        etag: str = "",
        **claims: Any,
    ) -> aiohttp.ClientResponse:
        sent = {"Authorization": f"Bearer {token(company, user, **claims)}"} | (headers or {})
        if etag:
            sent["If-None-Match"] = etag
        response: aiohttp.ClientResponse = await self.client.get(path, headers=sent)
        await response.read()
        return response


@asynccontextmanager
async def opened(
    database_url: str, redis_url: str, limits: Limits | None = None
) -> AsyncIterator[Door]:
    async with read_model(database_url) as pool, Wire(redis_url) as wire:
        door = Door(pool, wire, Keys(await projection.store_id(pool)), limits)
        async with door.client:
            yield door
