"""Reads the store in one snapshot, whatever the worker writes meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared import db

# Between its reads a page is computed, for seconds where thousands of records are connected: that
# is not a frozen client, and a reader blocks nobody but a rebuild's switch, which is retried.
PATIENT = f"SET LOCAL idle_in_transaction_session_timeout = {db.STATEMENT_TIMEOUT_MS}"


@asynccontextmanager
async def of(pool: db.Pool) -> AsyncIterator[db.Connection]:
    with db.errors():
        async with (
            pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            await conn.execute(PATIENT)
            yield conn
