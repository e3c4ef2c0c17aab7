"""Gives an index to users whose contacts became many.

Rule 1: a user is announced first, and whoever sees that queues for the user. What the index begins
        with is read once everyone has ended who may not have seen it.
Rule 2: an announcement is on disk before anyone sees it: no crash takes it back.
"""

from typing import Final

from services.query.batch import User
from services.query.searching import queue_store
from shared.db import Connection

DURABLY: Final = "SET LOCAL synchronous_commit = on"

ANNOUNCE: Final = """
INSERT INTO search_users (company_id, owner_id)
SELECT company_id, owner_id FROM search_unannounced WHERE contacts > $1
    ON CONFLICT DO NOTHING
"""

ANNOUNCED: Final = "SELECT company_id, owner_id FROM search_users WHERE NOT is_built"

# Every transaction below the first number has ended; those from the second on see what is here.
UNDER_WAY: Final = """
SELECT pg_snapshot_xmin(snapshot)::text::bigint, pg_snapshot_xmax(snapshot)::text::bigint
  FROM pg_current_snapshot() AS snapshot
"""

BUILT: Final = """
UPDATE search_users
   SET is_built = true
 WHERE company_id = $1 AND owner_id = $2 AND NOT is_built
RETURNING true
"""

# What is queued is found, but slowly when it is much.
SETTLED: Final = """
SELECT NOT EXISTS (SELECT FROM search_unannounced WHERE contacts > $1)
   AND NOT EXISTS (SELECT FROM search_users WHERE NOT is_built)
   AND (SELECT count(*) < $2 FROM (SELECT FROM search_pending LIMIT $2) AS queued)
"""

FORGET: Final = "DELETE FROM search_pending WHERE company_id = $1 AND owner_id = $2"

QUEUE_ALL: Final = """
INSERT INTO search_pending (company_id, owner_id, contact_id)
SELECT company_id, owner_id, contact_id
  FROM contacts
 WHERE company_id = $1 AND owner_id = $2 AND listed
"""


class Beginnings:
    """Users who are announced, each with the transaction from which on everyone sees it."""

    def __init__(self, few: int) -> None:
        self._few = few
        self._seen_from: dict[User, int] = {}

    async def announce(self, conn: Connection) -> None:
        async with conn.transaction():
            await conn.execute(DURABLY)
            await conn.execute(ANNOUNCE, self._few)
        announced = [User(*row) for row in await conn.fetch(ANNOUNCED)]
        if announced:
            _, following = await _under_way(conn)
            self._seen_from = {u: self._seen_from.get(u, following) for u in announced}

    async def begin(self, conn: Connection) -> bool:
        """Begin what can be begun; whether some have to wait."""
        if self._seen_from:
            oldest, _ = await _under_way(conn)
            for user, seen_from in list(self._seen_from.items()):
                if seen_from <= oldest and await _begin(conn, user):
                    del self._seen_from[user]
        return bool(self._seen_from)


async def is_settled(conn: Connection, few: int, most_queued: int) -> bool:
    """Whether who should have an index has one that knows nearly everything."""
    done: bool = await conn.fetchval(SETTLED, few, most_queued)
    return done


async def _under_way(conn: Connection) -> tuple[int, int]:
    [row] = await conn.fetch(UNDER_WAY)
    return row[0], row[1]


async def _begin(conn: Connection, user: User) -> bool:
    """An empty index, and every contact queued for it once, instead of what was queued."""
    async with conn.transaction():
        if not await queue_store.take(conn, user):
            return False
        if await conn.fetchval(BUILT, *user):
            await conn.execute(FORGET, *user)
            await conn.execute(QUEUE_ALL, *user)
    return True
