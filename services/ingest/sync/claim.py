"""One worker at a time for a company, over all processes.

Rule: the claim is a lock of a Postgres session, and all that its holder writes goes through that
session. Whoever dies or loses the connection loses the claim with it, and can write nothing more.
"""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from services.ingest.sync import SCHEMA
from shared import db

LOCK_SPACE: Final = 0x5359
TRY = "SELECT pg_try_advisory_lock($1, $2)"

# A holder whose machine is gone must not hold on until the kernel gives up after two hours.
NOTICE_DEATH = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)


@asynccontextmanager
async def claimed(dsn: str, company_id: int) -> AsyncIterator[db.Connection | None]:
    """A connection that holds the company, or null if somebody else does.

    Raises:
        Unavailable: Postgres is away.
    """
    conn = await db.connect(dsn, SCHEMA)
    try:
        with db.errors():
            await conn.execute(NOTICE_DEATH)
            number = zlib.crc32(b"%d" % company_id) - 2**31
            held = await conn.fetchval(TRY, LOCK_SPACE, number)
        yield conn if held else None
    finally:
        conn.terminate()  # frees the lock even where Postgres no longer answers
