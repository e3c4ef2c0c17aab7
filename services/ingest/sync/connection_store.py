"""SQL of the companies that are connected, and of the webhook that we have at Pipedrive."""

from dataclasses import dataclass
from datetime import datetime

from shared.db import Connection

CONNECTION = """
SELECT company_id, since, incremental_due, full_due, hook_id, hook_url, hook_digest, last_event_at,
       last_lag_ms
  FROM connections
 WHERE company_id = $1
"""

ANY = "SELECT EXISTS (SELECT FROM connections)"

# Whoever gets the row looks; all others find that it has just been looked at.
TO_CHECK = """
UPDATE connections
   SET hook_checked_at = now()
 WHERE hook_url IS NOT NULL AND hook_checked_at < now() - make_interval(secs => $1)
RETURNING company_id
"""

HOOK = """
INSERT INTO connections AS held (company_id, hook_id, hook_url, hook_digest, hook_checked_at)
VALUES ($1, $2, $3, $4, now())
    ON CONFLICT (company_id) DO UPDATE
   SET hook_id = EXCLUDED.hook_id, hook_url = EXCLUDED.hook_url,
       hook_digest = EXCLUDED.hook_digest, hook_checked_at = EXCLUDED.hook_checked_at
"""

READ_FROM = """
UPDATE connections SET since = least(since, last_event_at)
 WHERE company_id = $1 AND since IS NOT NULL
"""

TOLD_IDLE = "SELECT told_idle FROM connections WHERE company_id = $1"

NOTE_TOLD_IDLE = "UPDATE connections SET told_idle = $2 WHERE company_id = $1"


@dataclass(frozen=True, slots=True)
class Link:
    """A connected company."""

    company_id: int
    since: datetime | None
    incremental_due: datetime | None
    full_due: datetime | None
    hook_id: int | None
    hook_url: str | None
    hook_digest: bytes | None
    last_event_at: datetime | None
    last_lag_ms: int | None


async def link(conn: Connection, company_id: int) -> Link | None:
    row = await conn.fetchrow(CONNECTION, company_id)
    return None if row is None else Link(*row)


async def are_any(conn: Connection) -> bool:
    found: bool = await conn.fetchval(ANY)
    return found


async def to_check(conn: Connection, every_s: float) -> list[int]:
    """Companies whose webhook nobody has looked at for so long; they count as looked at."""
    return [row["company_id"] for row in await conn.fetch(TO_CHECK, every_s)]


async def keep_hook(
    conn: Connection, company_id: int, hook_id: int, url: str, digest: bytes
) -> None:
    await conn.execute(HOOK, company_id, hook_id, url, digest)


async def read_from_last_event(conn: Connection, company_id: int) -> None:
    """The next delta is to make good for all since the last event that came."""
    await conn.execute(READ_FROM, company_id)


async def told_idle(conn: Connection, company_id: int) -> bool:
    """Whether the state that was published last is certainly "idle"."""
    return bool(await conn.fetchval(TOLD_IDLE, company_id))


async def note_told_idle(conn: Connection, company_id: int, *, is_told: bool) -> None:
    await conn.execute(NOTE_TOLD_IDLE, company_id, is_told)
