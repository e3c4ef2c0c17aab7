"""User records from Pipedrive, cached in Redis for ten minutes.

Rule 1: a record there is replaced only by one with a newer version: a process that writes an older
        one late changes nothing.
Rule 2: every process replaces the records it hears have changed and, as soon as it begins to
        listen, all that are there. They decide nothing: permissions are known from elsewhere, so a
        record that is late by a moment only shows an old name.
"""

import asyncio
import contextlib
import functools
from collections.abc import Collection
from typing import Any, Final

import orjson

from services.query.batch import User
from services.query.contact import Key
from services.query.generation import Keys, user_named
from services.query.live import store as live_store
from services.query.sessions import store as access_store
from services.query.wire import Wire
from shared import db, lifecycle
from shared.access import NO_USER, is_inactive
from shared.errors import Unavailable
from shared.register import NEVER, Register

KEPT_S: Final = 600
READ_S: Final = 5.0
AT_ONCE: Final = ("COUNT", 1000)

# KEYS: the record. ARGV: version, record, seconds it is kept.
PUT: Final = """
local held = redis.call('HGET', KEYS[1], 'v')
if held == false or held < ARGV[1] then
    redis.call('HSET', KEYS[1], 'v', ARGV[1], 'r', ARGV[2])
    redis.call('EXPIRE', KEYS[1], ARGV[3])
end
"""


class People:
    def __init__(self, pool: db.Pool, wire: Wire, keys: Keys) -> None:
        self._pool = pool
        self._wire = wire
        self._keys = keys
        self._changed: set[User] = set()
        self._has_missed = False
        self._wake = asyncio.Event()

    async def kept(self, user: User) -> dict[str, Any] | None:
        """The record from Redis; null if it is missing, or Redis is away."""
        held = None
        with contextlib.suppress(Unavailable):
            held = await self._wire.call("HGET", self._keys.user(user), "r")
        return orjson.loads(held) if held is not None else None

    async def read(self, user: User) -> dict[str, Any]:
        """The record from Postgres, which is then cached.

        Raises:
            Unavailable: Postgres is away.
        """
        found, puts = await self._read([user])
        with contextlib.suppress(Unavailable):  # the next request reads Postgres
            await self._wire.call_all(puts)
        return found[user]

    def hear(self, payload: str) -> None:
        if payload.startswith(live_store.USERS):
            self._changed.update(live_store.told(payload))
            self._wake.set()

    def missed(self) -> None:
        self._has_missed = True
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await lifecycle.first_of(None, self._wake, stop)
            self._wake.clear()
            taken, self._changed = self._changed, set()
            if self._has_missed:
                self._has_missed = False
                await lifecycle.persist(self._read_kept, stop, what="people")
            if taken:
                await lifecycle.persist(
                    functools.partial(self._replace, taken), stop, what="people"
                )

    async def _read_kept(self) -> None:
        """Everything in Redis, again: what changed meanwhile is unknown."""
        place = b"0"
        while True:
            place, names = await self._wire.call(
                "SCAN", place, "MATCH", self._keys.users, *AT_ONCE
            )
            if names:
                await self._replace([user_named(name.decode()) for name in names])
            if place == b"0":
                return

    async def _replace(self, users: Collection[User]) -> None:
        """Replace the cached records, which are trusted. So Redis, too, is waited for."""
        _, puts = await self._read(users)
        await self._wire.call_all(puts)

    async def _read(
        self, users: Collection[User]
    ) -> tuple[dict[User, dict[str, Any]], list[tuple[Any, ...]]]:
        """From Postgres; and the commands that put it into Redis."""
        keys = {User(u.company_id, u.user_id): Key(u.company_id, u.user_id or 0) for u in users}
        with db.errors():
            async with db.leased(self._pool, seconds=READ_S) as conn:
                rows = await access_store.users(conn, keys.values())
        found = {}
        puts = []
        for user, key in keys.items():
            row = rows.get(key, NO_USER)
            found[user] = _record(row if row.stamp != NEVER else None)
            version = f"{row.stamp.version:020}{row.stamp.rank}{row.stamp.event_id}"
            content = orjson.dumps(found[user])
            puts.append(("EVAL", PUT, 1, self._keys.user(user), version, content, KEPT_S))
        return found, puts


def _record(row: Register | None) -> dict[str, Any]:
    """Little is known of a user who never arrived from Pipedrive."""
    if row is None:
        return {"name": None, "email": None, "active": True}
    return {
        "name": row.fields["name"],
        "email": row.fields["email"],
        "active": not is_inactive(row),
    }
