"""Builds an index for users whose contacts have become many.

Rule 1: a user is announced first, and whoever sees that queues changes for the user. The index is
        built from what is read once every transaction has ended that may not have seen it.
Rule 2: nobody is announced during an import: building an index costs a fraction of updating it
        afterwards.
Rule 3: an announcement is on disk before anyone sees it: no crash reverts it.
"""

from collections.abc import Callable
from typing import Final

from services.query.batch import User
from services.query.searching import queue_store
from services.query.searching.building import Build, Stopped
from shared.db import Connection, columns

STEADY: Final = 1.01
"""Largest growth of a list since the last look, as a factor, for it to count as steady."""

DURABLY: Final = "SET LOCAL synchronous_commit = on"

MANY: Final = "SELECT company_id, owner_id, contacts FROM search_unannounced WHERE contacts > $1"

ANNOUNCE: Final = """
INSERT INTO search_users (company_id, owner_id)
SELECT * FROM unnest($1::bigint[], $2::bigint[])
    ON CONFLICT DO NOTHING
"""

ANNOUNCED: Final = "SELECT company_id, owner_id FROM search_users WHERE NOT is_built"

# Every transaction below the first id has ended; those from the second on see what is here.
UNDER_WAY: Final = """
SELECT pg_snapshot_xmin(snapshot)::text::bigint, pg_snapshot_xmax(snapshot)::text::bigint
  FROM pg_current_snapshot() AS snapshot
"""

IS_BUILT: Final = "SELECT is_built FROM search_users WHERE company_id = $1 AND owner_id = $2"

# What is queued is found, but slowly if it is much.
SETTLED: Final = """
SELECT NOT EXISTS (SELECT FROM search_unannounced WHERE contacts > $1)
   AND NOT EXISTS (SELECT FROM search_users WHERE NOT is_built)
   AND (SELECT count(*) < $2 FROM (SELECT FROM search_pending LIMIT $2) AS queued)
"""


class Beginnings:
    """Announced users, each with the transaction from which on everyone sees it."""

    def __init__(self, few: int) -> None:
        self._few = few
        self._many: dict[User, int] = {}
        self._seen_from: dict[User, int] = {}

    async def announce(self, conn: Connection, *, at_once: bool) -> None:
        """Announce users with many contacts, once their number is steady."""
        rows = await conn.fetch(MANY, self._few)
        before, self._many = self._many, {User(*row[:2]): row[2] for row in rows}
        ready = [
            user
            for user, contacts in self._many.items()
            if at_once or contacts <= before.get(user, 0) * STEADY
        ]
        if ready:
            async with conn.transaction():
                await conn.execute(DURABLY)
                await conn.execute(ANNOUNCE, *columns(ready, 2))
        announced = [User(*row) for row in await conn.fetch(ANNOUNCED)]
        _, following = await _under_way(conn)
        self._seen_from = {u: self._seen_from.get(u, following) for u in announced}

    async def begin(
        self, conn: Connection, *, rest: float, is_stopped: Callable[[], bool]
    ) -> bool:
        """Build what can be built; returns whether some have to wait."""
        oldest, _ = await _under_way(conn)
        for user, seen_from in list(self._seen_from.items()):
            if seen_from <= oldest and await _build(conn, user, rest, is_stopped):
                del self._seen_from[user]
        return bool(self._seen_from)


async def is_settled(conn: Connection, few: int, most_queued: int) -> bool:
    """Whether every user who should have an index has one that is nearly up to date."""
    done: bool = await conn.fetchval(SETTLED, few, most_queued)
    return done


async def _under_way(conn: Connection) -> tuple[int, int]:
    [row] = await conn.fetch(UNDER_WAY)
    return row[0], row[1]


async def _build(
    conn: Connection, user: User, rest: float, is_stopped: Callable[[], bool]
) -> bool:
    """Returns whether nothing is left to be built, here or elsewhere."""
    try:
        async with conn.transaction():
            if not await queue_store.take(conn, user):
                return False
            if await conn.fetchval(IS_BUILT, *user) is False:
                await Build(conn, user, rest, is_stopped).run()
    except Stopped:
        return False
    return True
