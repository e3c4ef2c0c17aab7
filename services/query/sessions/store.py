"""SQL of users, revocations and sessions. Every function takes a connection; none commits.

Rule 1: every change that affects permissions is notified to every process at its commit.
Rule 2: a revocation is kept for an hour beyond its token's expiry: Postgres deletes by its own
        clock, and whether a token has expired is judged by another.
Rule 3: the expiry of a token that was never seen is unknown. Its revocation is kept until all of
        the user's are revoked, and their number per user is limited.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from services.query.batch import Batch, User
from services.query.contact import Key
from services.query.live import store as live_store
from shared import locks, register
from shared.access import NO_USER, USER_FIELDS, Revoked, UserKey
from shared.db import Connection, columns
from shared.events import SessionChange
from shared.register import Register, Stamp, decode_lag, encode_lag

USER_LOCKS: Final = 0x5155
REVOCATION_LOCKS: Final = 0x5156
LISTED: Final = 100
"""Most sessions listed per user: a script may sign a token for each request."""
MOST_UNSEEN: Final = 100
"""Most revoked tokens of a user that were never seen here: anyone may make up their names, and
every process keeps them in memory.
"""
AT_ONCE: Final = 500
"""Revocations read at once: while they are decoded a process does nothing else."""
BEGINNING: Final = Revoked(-1, -1, "", 0.0)
"""Sorts before all revocations."""

USERS = """
SELECT company_id, user_id, version, rank, event_id, deleted, lag, name, email, active
  FROM users
  JOIN unnest($1::bigint[], $2::bigint[]) AS wanted (company_id, user_id)
 USING (company_id, user_id)
"""

WRITE_USERS = """
INSERT INTO users
SELECT *
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
              $6::boolean[], $7::jsonb[], $8::text[], $9::text[], $10::boolean[])
    ON CONFLICT (company_id, user_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, name = EXCLUDED.name,
       email = EXCLUDED.email, active = EXCLUDED.active
"""

# The latest of each: in whatever order they come, and however often, the result is the same.
LATEST_HOLDS = """
    ON CONFLICT (company_id, user_id, token_id) DO UPDATE
   SET revoked_at = greatest(held.revoked_at, EXCLUDED.revoked_at),
       expires_at = CASE WHEN held.expires_at IS NOT NULL AND EXCLUDED.expires_at IS NOT NULL
                         THEN greatest(held.expires_at, EXCLUDED.expires_at) END
"""

REVOKE = f"""
INSERT INTO revocations AS held (company_id, user_id, token_id, revoked_at, expires_at)
SELECT company_id, user_id, token_id, max(revoked_at),
       CASE WHEN bool_and(expires_at IS NOT NULL) THEN max(expires_at) END
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::timestamptz[])
       AS said (company_id, user_id, token_id, revoked_at, expires_at)
 GROUP BY company_id, user_id, token_id
 ORDER BY company_id, user_id, token_id
{LATEST_HOLDS}"""  # noqa: S608  constants

INACTIVE = "SELECT company_id, user_id FROM users WHERE deleted OR NOT active"

INACTIVE_OF = """
SELECT company_id, user_id
  FROM users
  JOIN unnest($1::bigint[], $2::bigint[]) AS asked (company_id, user_id)
 USING (company_id, user_id)
 WHERE deleted OR NOT active
"""

REVOKED = """
SELECT company_id, user_id, token_id, extract(epoch FROM revoked_at)::float8 AS revoked_at
  FROM revocations
 WHERE (company_id, user_id, token_id) > ($1, $2, $3)
   AND (expires_at IS NULL OR expires_at > now() - interval '1 hour')
 ORDER BY company_id, user_id, token_id
 LIMIT $4
"""

REVOKED_OF = """
SELECT company_id, user_id, token_id, extract(epoch FROM revoked_at)::float8 AS revoked_at
  FROM revocations
  JOIN unnest($1::bigint[], $2::bigint[]) AS asked (company_id, user_id)
 USING (company_id, user_id)
 WHERE expires_at IS NULL OR expires_at > now() - interval '1 hour'
"""

UNSEEN = """
SELECT count(*)
  FROM revocations
 WHERE company_id = $1 AND user_id = $2 AND token_id NOT IN ('', $3) AND expires_at IS NULL
"""

RECORD_SESSIONS = """
INSERT INTO sessions AS held
SELECT *
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[],
              $6::timestamptz[], $7::timestamptz[], $8::timestamptz[])
    ON CONFLICT (company_id, user_id, token_id) DO UPDATE
   SET user_agent = EXCLUDED.user_agent,
       first_seen_at = least(held.first_seen_at, EXCLUDED.first_seen_at),
       last_seen_at = greatest(held.last_seen_at, EXCLUDED.last_seen_at),
       expires_at = greatest(held.expires_at, EXCLUDED.expires_at)
"""

SESSIONS = """
SELECT token_id, user_agent, first_seen_at, last_seen_at, expires_at
  FROM sessions AS session
 WHERE company_id = $1 AND user_id = $2 AND expires_at > now()
   AND NOT EXISTS (
       SELECT FROM revocations AS of_user
        WHERE of_user.company_id = $1 AND of_user.user_id = $2
          AND (of_user.token_id = session.token_id
               OR (of_user.token_id = '' AND session.issued_at < of_user.revoked_at)))
 ORDER BY last_seen_at DESC, token_id
 LIMIT $3
"""

# Token ids are chosen by the issuer: two users may have the same.
SESSION = """
SELECT user_id, expires_at
  FROM sessions
 WHERE company_id = $1 AND token_id = $3 AND (user_id = $2 OR $4)
 ORDER BY user_id <> $2, last_seen_at DESC
 LIMIT 1
"""

PRUNE_SESSIONS = "DELETE FROM sessions WHERE expires_at < now()"
PRUNE_REVOCATIONS = "DELETE FROM revocations WHERE expires_at < now() - interval '1 hour'"

# Revocations of unseen tokens that a revocation of all tokens covers, if that came over an hour
# later, since the issuer's clock may differ.
PRUNE_UNSEEN = """
DELETE FROM revocations AS one
 USING revocations AS every
 WHERE one.token_id <> '' AND one.expires_at IS NULL
   AND every.company_id = one.company_id AND every.user_id = one.user_id AND every.token_id = ''
   AND one.revoked_at < every.revoked_at - interval '1 hour'
"""


class Seen(NamedTuple):
    """A token in use; the columns of `sessions`."""

    company_id: int
    user_id: int
    token_id: str
    user_agent: str
    first_seen_at: datetime
    last_seen_at: datetime
    issued_at: datetime
    expires_at: datetime


async def project(conn: Connection, facts: Batch) -> None:
    changed: set[User] = set()
    if facts.users:
        changed |= await _apply_users(conn, facts.users)
    if facts.revocations:
        changed |= await revoke(conn, facts.revocations)
    if changed:
        await tell(conn, changed)


async def tell(conn: Connection, users: Iterable[User]) -> None:
    """Announce at the commit that these users or their permissions have changed."""
    said = [f"{live_store.USERS}{names}" for names in live_store.payloads(users)]
    await live_store.notify(conn, said)


async def _apply_users(conn: Connection, writes: Sequence[tuple[Key, Any]]) -> set[User]:
    keys = {key for key, _ in writes}
    await locks.hold(conn, USER_LOCKS, keys)
    before = await users(conn, keys)
    after = dict(before)
    for key, write in writes:
        after[key] = register.apply(after.get(key, NO_USER), write)
    changed = {key: row for key, row in after.items() if row != before.get(key)}
    await _write_users(conn, changed)
    return {User(*key) for key in changed}


async def users(conn: Connection, keys: Iterable[Key]) -> dict[Key, Register]:
    rows = await conn.fetch(USERS, *columns(list(keys), 2))
    return {
        Key(row["company_id"], row["user_id"]): Register(
            Stamp(row["version"], row["rank"], row["event_id"]),
            row["deleted"],
            {name: row[name] for name in USER_FIELDS},
            decode_lag(row["lag"]),
        )
        for row in rows
    }


async def _write_users(conn: Connection, changed: Mapping[Key, Register]) -> None:
    rows = [
        (*key, *row.stamp, row.deleted, encode_lag(row.lag), *row.fields.values())
        for key, row in sorted(changed.items(), key=lambda item: item[0])
    ]
    await conn.execute(WRITE_USERS, *columns(rows, 10))


async def revoke(conn: Connection, changes: Iterable[SessionChange]) -> set[User]:
    """Returns the users whose sessions these are."""
    rows = [
        (
            change.company_id,
            change.data.user_id,
            change.data.token_id or "",
            change.occurred_at,
            change.data.expires_at,
        )
        for change in changes
        if change.data is not None
    ]
    await conn.execute(REVOKE, *columns(rows, 5))
    return {User(row[0], row[1]) for row in rows}


async def has_room(conn: Connection, user: User, token_id: str) -> bool:
    """Whether one more token that was never seen may be revoked, or this one again. Concurrent
    calls for the same user wait until the transaction ends.
    """
    await locks.hold(conn, REVOCATION_LOCKS, [user])
    others: int = await conn.fetchval(UNSEEN, *user, token_id)
    return others < MOST_UNSEEN


async def inactive(conn: Connection) -> list[UserKey]:
    return [UserKey(*row) for row in await conn.fetch(INACTIVE)]


async def inactive_of(conn: Connection, users: Collection[UserKey]) -> list[UserKey]:
    rows = await conn.fetch(INACTIVE_OF, *columns(list(users), 2))
    return [UserKey(*row) for row in rows]


async def revoked(conn: Connection, after: Revoked) -> list[Revoked]:
    """The next `AT_ONCE`; a shorter list is the last."""
    rows = await conn.fetch(REVOKED, *after[:3], AT_ONCE)
    return [Revoked(*row) for row in rows]


async def revoked_of(conn: Connection, users: Collection[UserKey]) -> list[Revoked]:
    rows = await conn.fetch(REVOKED_OF, *columns(list(users), 2))
    return [Revoked(*row) for row in rows]


async def record(conn: Connection, seen: Iterable[Seen]) -> None:
    await conn.execute(RECORD_SESSIONS, *columns(sorted(seen), 8))


async def sessions(conn: Connection, user: User) -> list[asyncpg.Record]:
    """The latest seen, in this order."""
    return await conn.fetch(SESSIONS, *user, LISTED)


async def session(
    conn: Connection, user: User, token_id: str, *, of_anyone: bool
) -> asyncpg.Record | None:
    """The user's own; if there is none, and that is allowed, that of anyone in the company."""
    return await conn.fetchrow(SESSION, *user, token_id, of_anyone)


async def prune(conn: Connection) -> None:
    """Delete tokens that have expired, or are refused anyway."""
    await conn.execute(PRUNE_SESSIONS)
    await conn.execute(PRUNE_REVOCATIONS)
    await conn.execute(PRUNE_UNSEEN)
