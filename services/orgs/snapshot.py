"""Reads of the store that are all of one moment, whatever the worker writes between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared import db


@asynccontextmanager
async def of(pool: db.Pool) -> AsyncIterator[db.Connection]:
    with db.errors():
        async with (
            pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield conn
