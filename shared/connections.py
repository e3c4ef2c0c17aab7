"""Our kinds of Postgres connections and pools."""

import asyncio
import functools
from typing import Any

import asyncpg
from asyncpg.protocol import NO_TIMEOUT

from shared import heart


def _stirring(method: Any) -> Any:
    @functools.wraps(method)
    async def stirred(conn: asyncpg.Connection, *args: Any, **named: Any) -> Any:
        try:
            found = await method(conn, *args, **named)
        except asyncpg.ReadOnlySQLTransactionError:
            conn.terminate()  # it stays with its server: a new connection may reach another
            raise
        heart.stir()
        return found

    return stirred


class Stirring(asyncpg.Connection):
    """A statement that was carried out counts as a heartbeat of the loop that issued it. The
    driver's own statement loggers would not do: they run outside the task, and cost more.
    """

    execute = _stirring(asyncpg.Connection.execute)
    executemany = _stirring(asyncpg.Connection.executemany)
    fetch = _stirring(asyncpg.Connection.fetch)
    fetchrow = _stirring(asyncpg.Connection.fetchrow)
    fetchval = _stirring(asyncpg.Connection.fetchval)

    @_stirring
    async def copy_records_to_table(self, *args: Any, **named: Any) -> Any:
        """The driver's own limit does not hold while it waits for the server to take in data."""
        async with self._limit(named.pop("timeout", None)):
            return await super().copy_records_to_table(
                *args,
                timeout=NO_TIMEOUT,  # type: ignore[arg-type]  # the stubs keep it to the driver
                **named,
            )

    async def _cleanup_stmts(self) -> None:
        """Close the statements that left the cache, as each new connection does at its first use.
        The driver waits for the answer without limit: if the server falls silent just then, for
        ever, whatever the time for an answer.
        """
        async with self._limit():
            await super()._cleanup_stmts()  # type: ignore[misc]  # not in the stubs

    def _limit(self, seconds: float | None = None) -> asyncio.Timeout:
        """By default the time for an answer."""
        longest = self._config.command_timeout  # type: ignore[attr-defined]  # nor this
        return asyncio.timeout(longest if seconds is None else seconds)


class Kept(Stirring):
    """A pool's connection. Its users leave nothing behind but a transaction, which the pool ends
    by itself: no session settings, locks or listeners. Resetting those at each return would be one
    more round trip for each transaction.
    """

    def get_reset_query(self) -> str:
        return ""


class Queued(asyncpg.Pool):
    """A pool whose callers wait for a connection for `longest_s` at most; null: without limit."""

    def __init__(self, dsn: str, *, longest_s: float | None, **named: Any) -> None:
        super().__init__(
            dsn,
            # The defaults of `asyncpg.create_pool`; the class itself has none.
            record_class=asyncpg.Record,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            **named,
        )
        self._longest_s = longest_s

    def acquire(self, *, timeout: float | None = None) -> Any:
        return super().acquire(timeout=self._longest_s if timeout is None else timeout)
