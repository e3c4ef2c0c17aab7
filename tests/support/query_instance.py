"""The API of one query process, with the loops that its streams and sessions need."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from services.query import api
from services.query.cache import Cache
from services.query.generation import Keys
from services.query.limits import Limits
from services.query.live.arrivals import Arrivals
from services.query.live.assembly import Live
from services.query.live.hub import Hub
from services.query.main import CONSUMED, SCHEMA
from services.query.parts import Parts
from services.query.sessions.api import SessionsApi
from services.query.sessions.people import People
from services.query.sessions.revoking import Revoker
from services.query.sessions.seen import Sessions
from services.query.watch import Watch
from services.query.wire import Wire
from shared import db
from shared.auth import Authenticator
from shared.kafka.publisher import Publisher
from shared.settings import Settings
from tests.support.cluster import SECRET


@dataclass
class Instance:
    url: str
    live: Live
    stop: asyncio.Event


@asynccontextmanager
async def instance(
    dsn: str,
    redis_url: str,
    pool: db.Pool,
    keys: Keys,
    settings: Settings,
    limits: Limits | None = None,
) -> AsyncIterator[Instance]:
    """`settings` name the Kafka for what is revoked."""
    async with (
        Wire(redis_url) as wire,
        Publisher(settings, deadline_s=10) as publisher,
    ):
        parts = Parts(pool, Cache(wire, keys), Watch(pool), limits or Limits())
        live = _live(parts, wire, keys, publisher)
        await live.sessions.load()
        authenticator = Authenticator(SecretStr(SECRET), None, live.sessions.why)
        app = api.application(parts, {}, authenticator, live)
        stop = asyncio.Event()
        server = TestServer(app)
        async with server, asyncio.TaskGroup() as group:
            for loop in live.loops(dsn, SCHEMA):
                group.create_task(loop(stop))
            try:
                yield Instance(str(server.make_url("")).rstrip("/"), live, stop)
            finally:
                stop.set()


def _live(parts: Parts, wire: Wire, keys: Keys, publisher: Publisher) -> Live:
    pool = parts.pool
    hub = Hub(pool)
    sessions = Sessions(pool, lambda: hub.end_denied(sessions.why))
    people = People(pool, wire, keys)
    session_answers = SessionsApi(parts, sessions, people, Revoker(pool, publisher))
    arrivals = Arrivals(pool, {topic.name for topic in CONSUMED}, "")
    return Live(parts.cache, hub, arrivals, sessions, people, session_answers)
