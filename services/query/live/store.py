"""SQL of the live stream: what the projector appends, and what streams read.

Rule: a reader that has read under a snapshot continues with exactly the transactions that it did
not show. Sequence numbers would not do: transactions do not commit in their order, so "all after
the last I saw" would skip those that got a lower number and committed later.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from services.query.batch import User
from services.query.live.events import Place
from services.query.live.touched import STATUS, Names
from shared.db import Connection, columns

KEPT: Final = timedelta(minutes=15)
"""Longer than the maximum age of a place by more than the longest transaction takes: an entry is
as old as its transaction's start, and becomes visible at its end.
"""
PRUNED: Final = 5_000
MOST_ENTRIES: Final = 20_000
"""Entries read at once; a reader that is further behind reads the pages again."""
MOST_ENTRIES_OF_USER: Final = 300
PAYLOAD_CHARS: Final = 7_500
"""Postgres accepts less than 8,000 bytes."""

ALL: Final = -1
EVERYONE: Final = "*"
USERS: Final = "users "
"""Prefix of a second kind of notification: users or their permissions have changed."""
UNMARKED: Final = "unmarked"
"""A third kind: Redis cannot be told which pages are wrong."""

# One round trip: the entries, the notifications, which Postgres sends at the commit, and the
# transaction's id.
APPEND = """
WITH appended AS (
    INSERT INTO live_changes (company_id, user_id, entry)
    SELECT company_id, user_id, entry
      FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS touched (company_id, user_id, entry)
)
SELECT pg_current_xact_id()::text, pg_notify('live_' || current_schema(), payload)
  FROM unnest($4::text[]) AS told (payload)
"""

NOTIFY = """
SELECT pg_notify('live_' || current_schema(), payload) FROM unnest($1::text[]) AS told (payload)
"""

EPOCH = "INSERT INTO live_epoch DEFAULT VALUES ON CONFLICT DO NOTHING"

PLACE = """
SELECT epoch, now() AS at, pg_current_snapshot()::text AS snapshot FROM live_epoch
"""

# The range lets the index scan start at the oldest transaction that the snapshot left open.
ENTRIES = """
SELECT company_id, user_id, entry
  FROM live_changes
 WHERE transaction >= pg_snapshot_xmin($1::text::pg_snapshot)
   AND NOT pg_visible_in_snapshot(transaction, $1::text::pg_snapshot)
 LIMIT $2
"""

ENTRIES_OF_USERS = """
SELECT asked.place, change.entry
  FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[])
       AS asked (place, company_id, user_id, snapshot)
 CROSS JOIN unnest(ARRAY[asked.user_id, -1]) AS named (user_id)
 CROSS JOIN LATERAL (
       SELECT entry
         FROM live_changes
        WHERE company_id = asked.company_id AND user_id = named.user_id
          AND transaction >= pg_snapshot_xmin(asked.snapshot::pg_snapshot)
          AND NOT pg_visible_in_snapshot(transaction, asked.snapshot::pg_snapshot)
        LIMIT $5) AS change
"""

PRUNE = """
DELETE FROM live_changes
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM live_changes WHERE at < now() - $1::interval
        ORDER BY transaction LIMIT $2))
"""


async def append(
    conn: Connection, touched: Mapping[User, Names], companies: Iterable[User]
) -> str:
    """Announce at the commit what the caller's transaction changes, and for whom; returns its id.

    `companies` stand for all their users, whose pages show another status. `touched` and
    `companies` must not both be empty.
    """
    statuses = list(companies)
    rows = [(user.company_id, user.user_id, names.dump()) for user, names in touched.items()]
    rows += [(company.company_id, ALL, STATUS) for company in statuses]
    told = payloads([*touched, *statuses])
    number: str = await conn.fetchval(APPEND, *columns(rows, 3), told)
    return number


def is_of_changes(payload: str) -> bool:
    """Whether the notification names users whose pages changed."""
    return not payload.startswith((USERS, UNMARKED))


async def notify(conn: Connection, told: Sequence[str]) -> None:
    await conn.execute(NOTIFY, told)


def payloads(users: Iterable[User]) -> list[str]:
    """Notifications that name the users, each as long as allowed."""
    found: list[str] = []
    line = ""
    for company_id, user_id in users:
        name = f"{company_id}:{EVERYONE if user_id is None else user_id}"
        if len(line) + len(name) >= PAYLOAD_CHARS:
            found.append(line)
            line = ""
        line = f"{line} {name}" if line else name
    return [*found, line] if line else found


def told(payload: str) -> Iterator[User]:
    """The users that a notification names, of any kind."""
    for name in payload.removeprefix(USERS).split():
        company_id, _, user_id = name.partition(":")
        yield User(int(company_id), None if user_id == EVERYONE else int(user_id))


async def begin(conn: Connection) -> None:
    """Call before the first place is requested."""
    await conn.execute(EPOCH)


async def place(conn: Connection) -> Place | None:
    """The place of the caller's transaction; null after a crash, until the next `begin`."""
    row = await conn.fetchrow(PLACE)
    return Place(*row) if row is not None else None


async def entries(conn: Connection, snapshot: str) -> list[asyncpg.Record]:
    """What came after a snapshot; one more than the limit means that it is too much."""
    return await conn.fetch(ENTRIES, snapshot, MOST_ENTRIES + 1)


async def entries_of(
    conn: Connection, asked: Sequence[tuple[int, int, int | None, str]]
) -> list[asyncpg.Record]:
    """The same for each (number, company, user, snapshot)."""
    return await conn.fetch(ENTRIES_OF_USERS, *columns(asked, 4), MOST_ENTRIES_OF_USER + 1)


async def prune(conn: Connection) -> int:
    """Delete what is older than the retention; returns how much that was."""
    status: str = await conn.execute(PRUNE, KEPT, PRUNED)
    return int(status.rpartition(" ")[2])
