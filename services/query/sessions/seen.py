"""The sessions of a process: who is refused, by memory alone, and who was seen.

Rule 1: who is refused is known to every process as soon as it is committed, and read whole at the
        start, after each outage and every half minute. While Postgres is away the last known
        holds.
Rule 2: a token in use is written down when it is first seen, and once a minute at most. What
        could not be written waits; nobody waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from services.query.batch import User
from services.query.live import store as live_store
from services.query.sessions import access
from services.query.sessions import store as access_store
from services.query.sessions.access import Denials
from services.query.sessions.store import Seen
from shared import db, lifecycle
from shared.auth import Session, Unauthenticated
from shared.errors import Poison, Unavailable
from shared.web import AUTHENTICATOR, storable

log = logging.getLogger(__name__)

RELOAD_S: Final = 30.0
LOAD_S: Final = 10.0
RECORD_S: Final = 60.0
FLUSH_S: Final = 1.0
REMEMBERED: Final = 20_000
AGENT_CHARS: Final = 300


class Sessions:
    """`denied` is called whenever somebody may be refused who was not."""

    def __init__(self, pool: db.Pool, denied: Callable[[], None]) -> None:
        self._pool = pool
        self._denied = denied
        self._denials = Denials()
        self._wake = asyncio.Event()
        self._due: dict[str | None, float] = {}
        self._unwritten: dict[tuple[User, str], Seen] = {}

    def why(self, session: Session) -> str | None:
        """Why the session is refused; null while it is not."""
        return self._denials.why(session)

    def hear(self, payload: str) -> None:
        if payload.startswith(live_store.USERS):
            self._wake.set()

    def missed(self) -> None:
        self._wake.set()

    async def load(self) -> None:
        """Raises:
        Unavailable: Postgres is away; the last known holds.
        """
        with db.errors():
            async with db.leased(self._pool, seconds=LOAD_S) as conn:
                self._denials = await access_store.denials(conn)
        self._denied()

    def saw(self, request: web.Request) -> None:
        """Note the request's token, if it is time to."""
        header = request.headers.get("Authorization")
        now = time.monotonic()
        if self._due.get(header, 0.0) > now:
            return
        try:
            session = request.app[AUTHENTICATOR].session(header)
        except Unauthenticated:
            return  # the handler refuses it
        if len(self._due) >= REMEMBERED:
            self._due.clear()
        self._due[header] = now + RECORD_S
        self._note(session, request.headers.get("User-Agent", ""))

    async def run(self, stop: asyncio.Event) -> None:
        """Keep what refuses up to date."""
        while not stop.is_set():
            await lifecycle.first_of(RELOAD_S, self._wake, stop)
            if stop.is_set():
                return
            self._wake.clear()
            await lifecycle.persist(self.load, stop, what="sessions")

    async def write(self, stop: asyncio.Event) -> None:
        """Write down who was seen; a last time at the stop."""
        while True:
            stopped = await lifecycle.wait_or_stop(FLUSH_S, stop)
            try:
                await self.flush()
            except Unavailable:
                pass  # it waits for the next turn
            except Poison as poison:  # nobody is refused for it: what was seen is for people
                log.warning("seen_refused", extra={"reason": str(poison)})
            if stopped:
                return

    async def flush(self) -> None:
        """Raises:
        Unavailable: Postgres is away; what was to be written is kept.
        """
        if not self._unwritten:
            return
        taken, self._unwritten = self._unwritten, {}
        try:
            with db.errors():
                async with db.leased(self._pool, seconds=LOAD_S) as conn:
                    await access_store.record(conn, taken.values())
        except Unavailable:
            self._unwritten = taken | self._unwritten
            raise

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
            storable(agent)[:AGENT_CHARS],
            before.first_seen_at if before is not None else now,
            now,
            access.instant(session.issued_at),
            access.instant(session.expires_at),
        )
