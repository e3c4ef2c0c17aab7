"""SQL of rescoring whole companies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.scoring.families import Key
from shared import db

# A rescoring in progress starts over: contacts already done depend on what was before.
ASK = """
INSERT INTO rescorings (company_id, cause, asked_at)
SELECT company_id, $2, $3 FROM unnest($1::bigint[]) AS asked (company_id) ORDER BY company_id
    ON CONFLICT (company_id) DO UPDATE
   SET cause = EXCLUDED.cause, asked_at = EXCLUDED.asked_at, started_at = NULL, moved_at = NULL,
       finished_at = NULL, last_person_id = -1, total = NULL, done = 0
"""

# The one whose last batch is longest ago, so that small companies do not wait for large ones to
# end. What another instance works on is skipped.
TAKE = """
SELECT company_id, cause, last_person_id, total
  FROM rescorings
 WHERE finished_at IS NULL
 ORDER BY moved_at NULLS FIRST
 LIMIT 1
   FOR UPDATE SKIP LOCKED
"""

BEGIN = """
UPDATE rescorings
   SET started_at = $2,
       total = (SELECT count(*) FROM contacts WHERE company_id = $1 AND score IS NOT NULL)
 WHERE company_id = $1
"""

NEXT = """
SELECT person_id
  FROM contacts
 WHERE company_id = $1 AND person_id > $2 AND score IS NOT NULL
 ORDER BY person_id
 LIMIT $3
"""

MOVE = """
UPDATE rescorings
   SET last_person_id = $2, done = done + $3, total = greatest(total, done + $3), moved_at = $4
 WHERE company_id = $1
"""

FINISH = """
UPDATE rescorings SET finished_at = $2, moved_at = $2, total = done WHERE company_id = $1
"""

PROGRESS = """
SELECT cause, asked_at, started_at, moved_at, finished_at, total, done
  FROM rescorings
 WHERE company_id = $1
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A rescoring being worked on: its row is locked. `total` is null before its first batch."""

    company_id: int
    cause: str
    last_person_id: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    cause: str
    asked_at: datetime
    started_at: datetime | None
    moved_at: datetime | None
    finished_at: datetime | None
    total: int | None
    done: int


async def ask(conn: db.Connection, companies: Sequence[int], cause: str, now: datetime) -> None:
    if companies:
        await conn.execute(ASK, companies, cause, now)


async def take(conn: db.Connection) -> Taken | None:
    row = await conn.fetchrow(TAKE)
    return None if row is None else Taken(**row)


async def begin(conn: db.Connection, company_id: int, now: datetime) -> None:
    await conn.execute(BEGIN, company_id, now)


async def following(conn: db.Connection, taken: Taken, limit: int) -> list[Key]:
    rows = await conn.fetch(NEXT, taken.company_id, taken.last_person_id, limit)
    return [(taken.company_id, row["person_id"]) for row in rows]


async def move(
    conn: db.Connection, company_id: int, last_person_id: int, done: int, now: datetime
) -> None:
    await conn.execute(MOVE, company_id, last_person_id, done, now)


async def finish(conn: db.Connection, company_id: int, now: datetime) -> None:
    await conn.execute(FINISH, company_id, now)


async def progress(conn: db.Connection, company_id: int) -> Progress | None:
    """Null if the company was never rescored as a whole."""
    row = await conn.fetchrow(PROGRESS, company_id)
    return None if row is None else Progress(**row)
