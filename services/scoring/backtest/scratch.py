"""A scoring store for one run: a schema beside the live one, dropped at the end.

Rule: a run holds a lock named after its schema, so the next run recognizes what a killed one left
behind, and drops it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared import db, service

PREFIX = "scoring_backtest_"
RUNS_LOCK = 0x53426B74
CONNECTIONS = 3

# A run reads for as long as it takes, and processes what it has read meanwhile: that is not a
# frozen client.
PATIENT = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0
"""
HOLD = "SELECT pg_try_advisory_lock($1, hashtext($2))"
LEFT = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)"


@asynccontextmanager
async def store(dsn: str, migrations: Path) -> AsyncIterator[db.Pool]:
    """Raises:
    Unavailable: Postgres is away.
    """
    schema = PREFIX + secrets.token_hex(4)
    holder = await db.connect(dsn, schema, patient=True)
    try:
        with db.errors():
            for left in await holder.fetch(LEFT, PREFIX):
                if await holder.fetchval(HOLD, RUNS_LOCK, left["nspname"]):
                    await _drop(holder, left["nspname"])
            await holder.fetchval(HOLD, RUNS_LOCK, schema)
        await service.prepare_store(dsn, schema, migrations, asyncio.Event())
        try:
            async with db.pool(dsn, schema, size=CONNECTIONS, durable=False, patient=True) as pool:
                yield pool
        finally:
            with db.errors():
                await _drop(holder, schema)
    finally:
        await holder.close()


@asynccontextmanager
async def amid(pool: db.Pool) -> AsyncIterator[db.Connection]:
    """A transaction that may be idle."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(PATIENT)
        yield conn


async def _drop(conn: db.Connection, schema: str) -> None:
    await conn.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
