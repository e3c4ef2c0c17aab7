"""SQL of what waits for the indexer. None of these functions commits.

Rule: one indexer at a time works for a user, held by `take`; isolation is read committed, so that
      what is read after `take` includes the previous one's changes.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from services.query.batch import User
from shared import locks
from shared.db import Connection

LOCKS: Final = 0x5153

USERS = """
WITH RECURSIVE queued AS (
    (SELECT company_id, owner_id
       FROM search_pending
      WHERE (company_id, owner_id) > ($1, $2)
      ORDER BY company_id, owner_id
      LIMIT 1)
     UNION ALL
    SELECT following.*
      FROM queued
     CROSS JOIN LATERAL (
           SELECT company_id, owner_id
             FROM search_pending
            WHERE (company_id, owner_id) > (queued.company_id, queued.owner_id)
            ORDER BY company_id, owner_id
            LIMIT 1) AS following
), moved AS (
    (SELECT company_id, owner_id
       FROM search_moved
      WHERE (company_id, owner_id) > ($1, $2)
      ORDER BY company_id, owner_id
      LIMIT 1)
     UNION ALL
    SELECT following.*
      FROM moved
     CROSS JOIN LATERAL (
           SELECT company_id, owner_id
             FROM search_moved
            WHERE (company_id, owner_id) > (moved.company_id, moved.owner_id)
            ORDER BY company_id, owner_id
            LIMIT 1) AS following
)
(SELECT company_id, owner_id FROM queued LIMIT $3)
UNION
(SELECT company_id, owner_id FROM moved LIMIT $3)
ORDER BY company_id, owner_id
LIMIT $3
"""

QUEUED_EVER = "SELECT last_value FROM search_pending_seq_seq"

QUEUED = """
SELECT seq, contact_id, organization_id
  FROM search_pending
 WHERE company_id = $1 AND owner_id = $2
 ORDER BY seq
 LIMIT $3
"""

DONE = """
DELETE FROM search_pending WHERE company_id = $1 AND owner_id = $2 AND seq = ANY($3::bigint[])
"""

MOVED = """
SELECT seq, slot
  FROM search_moved
 WHERE company_id = $1 AND owner_id = $2
 ORDER BY seq
 LIMIT $3
"""

MOVED_DONE = """
DELETE FROM search_moved WHERE company_id = $1 AND owner_id = $2 AND seq = ANY($3::bigint[])
"""


class Queued(NamedTuple):
    """A contact to index again, or an organization whose name changed."""

    seq: int
    contact_id: UUID | None
    organization_id: UUID | None


async def users(conn: Connection, after: User, most: int) -> list[User]:
    """The next users with queued entries, `most` of them, in order."""
    return [User(*row) for row in await conn.fetch(USERS, *after, most)]


async def take(conn: Connection, user: User) -> bool:
    """Whether the user's index is the caller's until the transaction ends."""
    return await locks.try_hold(conn, LOCKS, [user])


async def queued_ever(conn: Connection) -> int:
    """The number of the last entry."""
    last: int = await conn.fetchval(QUEUED_EVER)
    return last


async def queued(conn: Connection, user: User, most: int) -> list[Queued]:
    return [Queued(*row) for row in await conn.fetch(QUEUED, *user, most)]


async def done(conn: Connection, user: User, entries: Iterable[Queued]) -> None:
    await conn.execute(DONE, *user, [entry.seq for entry in entries])


async def moved(conn: Connection, user: User, most: int) -> list[tuple[int, int]]:
    """Queued moves of slots: the entry, and the slot."""
    return [(row[0], row[1]) for row in await conn.fetch(MOVED, *user, most)]


async def moved_done(conn: Connection, user: User, entries: Sequence[int]) -> None:
    await conn.execute(MOVED_DONE, *user, entries)
