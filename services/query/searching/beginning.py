"""Gives an index to users whose contacts became many.

Rule 1: a user is announced first, and whoever sees that queues for the user. What the index begins
        with is read once everyone has ended who may not have seen it.
Rule 2: nobody is announced amid an import: what an index is built from costs a fraction of what
        it is told afterwards.
Rule 3: an announcement is on disk before anyone sees it: no crash takes it back.
"""

from collections.abc import Callable
from typing import Final

from services.query.batch import User
from services.query.searching import queue_store
from services.query.searching.building import Build, Stopped
from shared.db import Connection, columns

STEADY: Final = 1.01
"""Times as many contacts as at the last look that a list may have to be ready."""

DURABLY: Final = "SET LOCAL synchronous_commit = on"

MANY: Final = "SELECT company_id, owner_id, contacts FROM search_unannounced WHERE contacts > $1"

ANNOUNCE: Final = """
INSERT INTO search_users (company_id, owner_id)
SELECT * FROM unnest($1::bigint[], $2::bigint[])
    ON CONFLICT DO NOTHING
"""

ANNOUNCED: Final = "SELECT company_id, owner_id FROM search_users WHERE NOT is_built"

# Every transaction below the first number has ended; those from the second on see what is here.
UNDER_WAY: Final = """
SELECT pg_snapshot_xmin(snapshot)::text::bigint, pg_snapshot_xmax(snapshot)::text::bigint
  FROM pg_current_snapshot() AS snapshot
"""

IS_BUILT: Final = "SELECT is_built FROM search_users WHERE company_id = $1 AND owner_id = $2"

# What is queued is found, but slowly when it is much.
SETTLED: Final = """
SELECT NOT EXISTS (SELECT FROM search_unannounced WHERE contacts > $1)
   AND NOT EXISTS (SELECT FROM search_users WHERE NOT is_built)
   AND (SELECT count(*) < $2 FROM (SELECT FROM search_pending LIMIT $2) AS queued)
"""


class Beginnings:
    """Users who are announced, each with the transaction from which on everyone sees it."""

    def __init__(self, few: int) -> None:
        self._few = few
        self._many: dict[User, int] = {}
        self._seen_from: dict[User, int] = {}

    async def announce(self, conn: Connection, *, at_once: bool) -> None:
        """Those with many contacts, once they are not becoming more quickly."""
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
        """Build what can be built; whether some have to wait."""
        oldest, _ = await _under_way(conn)
        for user, seen_from in list(self._seen_from.items()):
            if seen_from <= oldest and await _build(conn, user, rest, is_stopped):
                del self._seen_from[user]
        return bool(self._seen_from)


async def is_settled(conn: Connection, few: int, most_queued: int) -> bool:
    """Whether who should have an index has one that knows nearly everything."""
    done: bool = await conn.fetchval(SETTLED, few, most_queued)
    return done


async def _under_way(conn: Connection) -> tuple[int, int]:
    [row] = await conn.fetch(UNDER_WAY)
    return row[0], row[1]


async def _build(
    conn: Connection, user: User, rest: float, is_stopped: Callable[[], bool]
) -> bool:
    """Whether nothing is left to be built, here or elsewhere."""
    try:
        async with conn.transaction():
            if not await queue_store.take(conn, user):
                return False
            if await conn.fetchval(IS_BUILT, *user) is False:
                await Build(conn, user, rest, is_stopped).run()
    except Stopped:
        return False
    return True
