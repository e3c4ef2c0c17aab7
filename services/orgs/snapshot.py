"""Reads of the store that are all of one moment, whatever the worker writes between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared import db

# Between its reads a page is reckoned, for seconds where thousands of records hang together: that
# is no client that was frozen, and a reader is in nobody's way but a rebuild's, which tries again.
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
