"""One worker at a time per company, across processes: for its sync, and for its webhook.

Rule: the claim is a lock of a Postgres session, and all that its holder writes goes through that
session. A holder that dies or loses the connection loses the claim with it, and can no longer
write.
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

# The claim of a holder whose machine is gone must not last until the kernel gives up after two
# hours. What it records is on disk before anything follows from it (see `written`).
OF_A_HOLDER = """
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET synchronous_commit = on
"""


class Work(IntEnum):
    """What is claimed of a company; each has its own namespace of locks."""

    SYNC = 0x5359
    WEBHOOK = 0x5748


@asynccontextmanager
async def claimed(
    dsn: str, company_id: int, work: Work = Work.SYNC, *, patience_s: float = 0.0
) -> AsyncIterator[db.Connection | None]:
    """A connection that holds the claim, or null if another holds it for so long.

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
        conn.terminate()  # releases the lock even if Postgres no longer answers


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
    """Companies whose work is claimed at the moment."""
    numbers = {row["objid"] for row in await conn.fetch(HELD, work.value)}
    return {each for each in company_ids if _number(each) % 2**32 in numbers}


def _number(company_id: int) -> int:
    """A lock's number is a signed 32-bit integer, which Postgres shows as unsigned."""
    return zlib.crc32(b"%d" % company_id) - 2**31
