"""One at a time for a company, over all processes: who works on its sync, who sees to its webhook.

Rule: the claim is a lock of a Postgres session, and all that its holder writes goes through that
session. Whoever dies or loses the connection loses the claim with it, and can write nothing more.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Final

from services.ingest.preparing import SCHEMA
from shared import db

POLL_S: Final = 0.1
TRY = "SELECT pg_try_advisory_lock($1, $2)"

HELD = """
SELECT objid::bigint
  FROM pg_locks
 WHERE locktype = 'advisory' AND classid = $1::oid AND objsubid = 2 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# A holder whose machine is gone must not hold on until the kernel gives up after two hours. What
# it writes down is on disk before anything is made of it (see `written`).
OF_A_HOLDER = """
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET synchronous_commit = on
"""


class Work(IntEnum):
    """What is claimed of a company; each is a space of locks."""

    SYNC = 0x5359
    WEBHOOK = 0x5748


@asynccontextmanager
async def claimed(
    dsn: str, company_id: int, work: Work = Work.SYNC, *, patience_s: float = 0.0
) -> AsyncIterator[db.Connection | None]:
    """A connection that holds the company's work, or null if somebody else does for so long.

    Raises:
        Unavailable: Postgres is away.
    """
    conn = await db.connect(dsn, SCHEMA)
    try:
        with db.errors():
            await conn.execute(OF_A_HOLDER)
            held = await _tried(conn, company_id, work, patience_s)
        yield conn if held else None
    finally:
        conn.terminate()  # frees the lock even where Postgres no longer answers


async def _tried(conn: db.Connection, company_id: int, work: Work, patience_s: float) -> bool:
    deadline = asyncio.get_running_loop().time() + patience_s
    while not await conn.fetchval(TRY, work.value, _number(company_id)):
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def held(
    conn: db.Connection, company_ids: Iterable[int], work: Work = Work.SYNC
) -> set[int]:
    """Those whose work somebody holds at the moment."""
    numbers = {row["objid"] for row in await conn.fetch(HELD, work.value)}
    return {each for each in company_ids if _number(each) % 2**32 in numbers}


def _number(company_id: int) -> int:
    """A lock's number has 32 bits and a sign, which Postgres shows without it."""
    return zlib.crc32(b"%d" % company_id) - 2**31
