"""The sessions of a process: which are refused, from memory alone, and which were seen.

Rule 1: every process knows of revocations and deactivated users as soon as they are committed:
        those of notified users are read at once, and all at the start, after each outage and every
        half minute. While Postgres is away the last known ones hold.
Rule 2: a token in use is recorded when it is first seen, and once a minute at most. What could not
        be written stays pending; no request waits for it.
"""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from services.query.batch import User
from services.query.live import store as live_store
from services.query.sessions import store as access_store
from services.query.sessions.store import Seen
from shared import access, db, lifecycle
from shared.access import Denials, Revoked, UserKey
from shared.auth import Session
from shared.errors import Poison, Unavailable
from shared.web import cleaned

log = logging.getLogger(__name__)

RELOAD_S: Final = 30.0
LOAD_S: Final = 10.0
RECORD_S: Final = 60.0
FLUSH_S: Final = 1.0
REMEMBERED: Final = 20_000
AGENT_CHARS: Final = 300


class Sessions:
    """`denied` is called whenever new sessions may be refused."""

    def __init__(self, pool: db.Pool, denied: Callable[[], None]) -> None:
        self._pool = pool
        self._denied = denied
        self._denials = Denials()
        self._loading = asyncio.Lock()
        self._load_at = 0.0
        self._named: set[UserKey] = set()
        self._wake = asyncio.Event()
        self._due: dict[tuple[int, int, str], float] = {}
        self._unwritten: dict[tuple[User, str], Seen] = {}
        self._writing = asyncio.Lock()

    def why(self, session: Session) -> str | None:
        """Why the session is refused; null if it is not."""
        return self._denials.why(session)

    def hear(self, payload: str) -> None:
        if payload.startswith(live_store.USERS):
            named = live_store.told(payload)
            self._named |= {UserKey(user.company_id, user.user_id or 0) for user in named}
            self._wake.set()

    def missed(self) -> None:
        self._load_at = 0.0
        self._wake.set()

    async def load(self) -> None:
        """Load all revocations and deactivated users.

        Raises:
            Unavailable: Postgres is away; the last known holds.
        """
        async with self._loading:
            self._load_at = time.monotonic() + RELOAD_S
            self._denials = await self._read_all()
        self._denied()

    async def load_of(self, users: Collection[UserKey]) -> None:
        """Load the revocations of these users, and which of them are deactivated.

        Raises:
            Unavailable: as `load`.
        """
        found = Denials()
        async with self._loading:  # a full read that began earlier would undo this
            async with self._connection() as conn:
                found.deactivate(await access_store.inactive_of(conn, users))
                found.revoke(await access_store.revoked_of(conn, users))
            self._denials.replace(users, by=found)
        self._denied()

    def saw(self, session: Session, headers: Mapping[str, str]) -> None:
        """Record the session, if it is due, and the agent that a request's headers name."""
        now = time.monotonic()
        who = session.identity
        which = (who.company_id, who.user_id, session.token_id)
        if self._due.get(which, 0.0) > now:
            return
        if len(self._due) >= REMEMBERED:
            self._due.clear()
        self._due[which] = now + RECORD_S
        self._note(session, headers.get("User-Agent", ""))

    async def run(self, stop: asyncio.Event) -> None:
        """Keep up to date which sessions are refused."""
        while not stop.is_set():
            left_s = max(0.0, self._load_at - time.monotonic())
            await lifecycle.first_of(left_s, self._wake, stop)
            if stop.is_set():
                return
            self._wake.clear()
            named, self._named = self._named, set()
            if time.monotonic() >= self._load_at:
                await lifecycle.persist(self.load, stop, what="sessions")
            elif named:
                load = functools.partial(self.load_of, named)
                await lifecycle.persist(load, stop, what="sessions")

    async def write(self, stop: asyncio.Event) -> None:
        """Store the sessions seen; a last time at the stop."""
        while True:
            stopped = await lifecycle.wait_or_stop(FLUSH_S, stop)
            try:
                await self.flush()
            except Unavailable:
                pass  # retried in the next turn
            except Poison as poison:  # not critical: sessions seen are only displayed
                log.warning("seen_refused", extra={"reason": str(poison)})
            if stopped:
                return

    async def flush(self) -> None:
        """Afterwards all sessions seen until now are stored, also those that another call is
        about to store.

        Raises:
            Unavailable: Postgres is away; what was to be written is kept.
        """
        async with self._writing:
            if not self._unwritten:
                return
            taken, self._unwritten = self._unwritten, {}
            try:
                async with self._connection() as conn:
                    await access_store.record(conn, taken.values())
            except Unavailable:
                self._unwritten = taken | self._unwritten
                raise

    async def _read_all(self) -> Denials:
        """In parts, each with its own deadline. A change to a part already read is notified to the
        listener, and read after this.
        """
        found = Denials()
        async with self._connection() as conn:
            found.deactivate(await access_store.inactive(conn))
        after: Revoked | None = access_store.BEGINNING
        while after is not None:
            async with self._connection() as conn:
                rows = await access_store.revoked(conn, after)
            found.revoke(rows)
            after = rows[-1] if len(rows) == access_store.AT_ONCE else None
        return found

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[db.Connection]:
        with db.errors():
            async with db.leased(self._pool, seconds=LOAD_S) as conn:
                yield conn

    def _note(self, session: Session, agent: str) -> None:
        if len(self._unwritten) >= REMEMBERED:
            return
        now = datetime.now(UTC)
        who = session.identity
        key = (User(who.company_id, who.user_id), session.token_id)
        before = self._unwritten.get(key)
        self._unwritten[key] = Seen(
            who.company_id,
            who.user_id,
            session.token_id,
            cleaned(agent)[:AGENT_CHARS],
            before.first_seen_at if before is not None else now,
            now,
            access.instant(session.issued_at),
            access.instant(session.expires_at),
        )
