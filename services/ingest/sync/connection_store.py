"""SQL of the companies that are connected, and of the webhook that we have at Pipedrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from shared.db import Connection

CONNECTION = """
SELECT company_id, since, incremental_due, full_due, hook_id, hook_url, hook_digest, hook_shown,
       hook_shown_at, hook_problem, hook_refusal, last_event_at, last_lag_ms
  FROM connections
 WHERE company_id = $1
"""

ANY = "SELECT EXISTS (SELECT FROM connections)"

# Whoever gets the row checks; all others find that it has just been checked.
TO_CHECK = """
UPDATE connections AS held
   SET hook_checked_at = now()
  FROM connections AS same
  LEFT JOIN unnest($3::bigint[], $4::bytea[]) AS given (company_id, digest) USING (company_id)
 WHERE held.company_id = same.company_id AND held.hook_url IS NOT NULL
   AND held.hook_checked_at < now() - make_interval(
       secs => CASE WHEN given.digest <> held.hook_digest THEN $2::float8 ELSE $1::float8 END)
RETURNING held.company_id
"""

HOOK = """
INSERT INTO connections AS held (company_id, hook_id, hook_url, hook_digest, hook_checked_at)
VALUES ($1, $2, $3, $4, now())
    ON CONFLICT (company_id) DO UPDATE
   SET hook_id = EXCLUDED.hook_id, hook_url = EXCLUDED.hook_url,
       hook_digest = EXCLUDED.hook_digest, hook_checked_at = EXCLUDED.hook_checked_at,
       hook_refusal = NULL
"""

REFUSED = "UPDATE connections SET hook_refusal = $2 WHERE company_id = $1"

# Whoever gets the row asks Pipedrive; all others answer with its last report.
TO_ASK = """
UPDATE connections
   SET hook_asked_at = now()
 WHERE company_id = $1 AND hook_url IS NOT NULL
   AND hook_asked_at < now() - make_interval(secs => $2)
RETURNING true
"""

# Ignored for a webhook that has been replaced meanwhile.
REPORT = """
UPDATE connections
   SET hook_shown = $3, hook_problem = $4, hook_shown_at = now(), hook_asked_at = now()
 WHERE company_id = $1 AND hook_id = $2
"""

TROUBLE = "UPDATE connections SET hook_problem = $3 WHERE company_id = $1 AND hook_id = $2"

# A company that was never read in full has no gap to fill: all is read.
MENDED = """
UPDATE connections
   SET mended_at = clock_timestamp(),
       since = CASE WHEN since IS NOT NULL THEN least(since, last_event_at) END
 WHERE company_id = $1
"""

NEXT_VERSION = """
UPDATE connections
   SET told_version = greatest(told_version + 1, $2)
 WHERE company_id = $1
RETURNING told_version
"""


class Report(NamedTuple):
    """Our webhook as Pipedrive shows it, null where it is missing; and what is wrong with it."""

    shown: dict[str, Any] | None
    problem: str | None


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
    hook_shown: dict[str, Any] | None
    hook_shown_at: datetime | None
    hook_problem: str | None
    hook_refusal: str | None
    last_event_at: datetime | None
    last_lag_ms: int | None


async def link(conn: Connection, company_id: int) -> Link | None:
    row = await conn.fetchrow(CONNECTION, company_id)
    return None if row is None else Link(*row)


async def are_any(conn: Connection) -> bool:
    found: bool = await conn.fetchval(ANY)
    return found


async def to_check(
    conn: Connection, every_s: float, digests: Mapping[int, bytes], *, differing_s: float
) -> list[int]:
    """Companies whose webhook has not been checked for so long; they count as checked now.
    `differing_s` replaces that interval where the webhook was made with other credentials than the
    present ones, whose digests are in `digests`.
    """
    given = list(digests), list(digests.values())
    rows = await conn.fetch(TO_CHECK, every_s, differing_s, *given)
    return [row["company_id"] for row in rows]


async def keep_hook(
    conn: Connection, company_id: int, hook_id: int, url: str, digest: bytes
) -> None:
    await conn.execute(HOOK, company_id, hook_id, url, digest)


async def keep_refusal(conn: Connection, company_id: int, sentence: str) -> None:
    """Pipedrive does not register the webhook: kept until it does."""
    await conn.execute(REFUSED, company_id, sentence)


async def is_to_ask(conn: Connection, company_id: int, every_s: float) -> bool:
    """Whether the caller is to ask Pipedrive about the webhook: nobody has for so long."""
    return bool(await conn.fetchval(TO_ASK, company_id, every_s))


async def keep_report(conn: Connection, company_id: int, hook_id: int, report: Report) -> None:
    await conn.execute(REPORT, company_id, hook_id, report.shown, report.problem)


async def keep_trouble(conn: Connection, company_id: int, hook_id: int, problem: str) -> None:
    """Pipedrive did not answer; its previous report is kept."""
    await conn.execute(TROUBLE, company_id, hook_id, problem)


async def mended(conn: Connection, company_id: int) -> None:
    """The webhook has been registered again: the next delta covers all since the last event that
    arrived.
    """
    await conn.execute(MENDED, company_id)


async def next_version(conn: Connection, company_id: int, now_us: int) -> int:
    """The version for the next published sync state: now, or above the last one."""
    found: int | None = await conn.fetchval(NEXT_VERSION, company_id, now_us)
    return now_us if found is None else found
