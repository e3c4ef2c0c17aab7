"""How the read model is rebuilt: `python -m services.query rebuild`.

The new store takes over the name of the old one: in Redis it is the same, and what processes know
of it stays true. Pages are different: none is trusted from right before the switch until right
after it, and nothing cached before is trusted after.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from services.query import batch, projection
from services.query.generation import Keys
from services.query.main import CONSUMED, MIGRATIONS, SCHEMA
from services.query.projector import project
from services.query.searching import beginning
from services.query.searching.indexer import FEW, Indexer
from services.query.sessions.store import LATEST_HOLDS
from services.query.settings import QuerySettings
from services.query.wire import Wire
from shared import db, lifecycle
from shared.errors import Unavailable
from shared.kafka.consumer import Received
from shared.observability import configure_logs
from shared.rebuild import command
from shared.rebuild.plan import Plan
from shared.settings import told
from shared.tenants import CustomFields, Tenants

CARRY: Final = (
    "UPDATE query_next.store SET store_id = live.store_id FROM query.store AS live",
    # Sessions are in no log.
    "INSERT INTO query_next.sessions SELECT * FROM query.sessions ON CONFLICT DO NOTHING",
    # A recent revocation is in force, though perhaps not read from the log yet.
    "INSERT INTO query_next.revocations AS held SELECT * FROM query.revocations" + LATEST_HOLDS,  # noqa: S608  constants
    # Streams start afresh, by the new store's epoch: its own entries are for nobody.
    "TRUNCATE query_next.live_changes",
)
MOST_QUEUED: Final = 1000
TELL_S: Final = 60.0


async def main(words: Sequence[str]) -> None:
    chosen = command.arguments(SCHEMA, words)
    settings = told(QuerySettings)
    configure_logs("WARNING")
    async with Wire(settings.redis_url.get_secret_value()) as wire:
        await command.run(plan(settings, wire), chosen)


def plan(settings: QuerySettings, wire: Wire) -> Plan:
    tenants = Tenants(settings.tenants_file)
    dsn = settings.database_url.get_secret_value()

    def custom_fields(company_id: int) -> CustomFields:
        return tenants.get(company_id).custom_fields

    async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
        await project(conn, batch.sort(facts, custom_fields))

    def loops(pool: db.Pool) -> Sequence[lifecycle.Loop]:
        return (Indexer(pool).run,)

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        async with db.pool(dsn, SCHEMA, size=1) as pool:
            keys = Keys(await projection.store_id(pool))
        await wire.call(*keys.close())
        try:
            yield
        finally:
            await _told(wire, keys)

    return Plan(
        SCHEMA,
        dsn,
        settings,
        MIGRATIONS,
        CONSUMED,
        apply,
        loops=loops,
        settled=_is_indexed,
        carry=CARRY,
        around=around,
    )


async def _is_indexed(pool: db.Pool) -> bool:
    with db.errors():
        async with pool.acquire() as conn:
            return await beginning.is_settled(conn, FEW, MOST_QUEUED)


async def _told(wire: Wire, keys: Keys) -> None:
    """While Redis is away nobody is served from it; afterwards, the mark expires by itself."""
    waits = lifecycle.waits()
    for _ in range(int(TELL_S)):
        try:
            await wire.call(*keys.raise_epoch())
        except Unavailable:
            await asyncio.sleep(next(waits))
        else:
            return
