"""Connections to Postgres, as the driver makes them for us."""

import functools
from typing import Any

import asyncpg

from shared import heart


def _stirring(method: Any) -> Any:
    @functools.wraps(method)
    async def stirred(conn: asyncpg.Connection, *args: Any, **named: Any) -> Any:
        try:
            found = await method(conn, *args, **named)
        except asyncpg.ReadOnlySQLTransactionError:
            conn.terminate()  # whom it leads to stays so: who connects anew may meet another
            raise
        heart.stir()
        return found

    return stirred


class Stirring(asyncpg.Connection):
    """What it has carried out is a sign of life of the loop that asked for it. The driver's own
    loggers of statements would not do: they are called outside the task, and cost more.
    """

    execute = _stirring(asyncpg.Connection.execute)
    executemany = _stirring(asyncpg.Connection.executemany)
    fetch = _stirring(asyncpg.Connection.fetch)
    fetchrow = _stirring(asyncpg.Connection.fetchrow)
    fetchval = _stirring(asyncpg.Connection.fetchval)
    copy_records_to_table = _stirring(asyncpg.Connection.copy_records_to_table)


class Kept(Stirring):
    """A pool's connection. Whoever had it leaves nothing behind but a transaction, which the pool
    ends by itself: no settings, locks or listeners of the session. Undoing those at each return
    would be one more round trip for each transaction.
    """

    def get_reset_query(self) -> str:
        return ""
