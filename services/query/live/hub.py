"""All open streams of a process, and the one loop that reads what they send.

Rule 1: one look at Postgres serves all: what changed since the last look, and its present state,
        from one snapshot. Its cost does not depend on how many streams are open.
Rule 2: a stream joins within a look, so nothing falls between what it missed and what follows.
Rule 3: while Postgres is away streams stay open, and the next look starts where the last ended. If
        that is too long ago, or Postgres crashed, all clients are told to read their pages again.
"""

import asyncio
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from services.query import reading
from services.query.batch import User
from services.query.live import events as live_events
from services.query.live import reading as live_reading
from services.query.live import store as live_store
from services.query.live.events import RESET, News, Place
from services.query.live.stream import Stream
from services.query.live.touched import Names, parse
from shared import db, lifecycle
from shared.auth import Session
from shared.observability import STREAMS, STREAMS_CLOSED
from shared.pacing import Pace

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
BUSY_LOOK_S: Final = 1.0
"""How long changes of other users alone may pile up: a look has to skip them."""
RESET_S: Final = 1.0
"""Least time between two resets of a user: an import would cause one for every few records.
"""
JOINING: Final = 500
PACE: Final = Pace(times=1.0, least_s=0.010, most_s=0.1)
MOST_OF_USER: Final = 10
MOST: Final = 10_000


class Hub:
    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self._streams: defaultdict[User, set[Stream]] = defaultdict(set)
        self._joining: dict[Stream, None] = {}
        self.open = 0
        self._place: Place | None = None
        self._wake = asyncio.Event()
        self._resets: dict[User, float] = {}
        self._owed: set[User] = set()
        self._looked_at = 0.0
        self._is_over = False

    @property
    def is_full(self) -> bool:
        """Also true in a process that is stopping: nobody would serve a stream, or end it."""
        return self._is_over or self.open >= MOST

    def has_room(self, user: User) -> bool:
        streams = self._streams.get(user, set())
        if len(streams) >= MOST_OF_USER:
            for stream in [each for each in streams if each.is_gone]:
                self.leave(stream)
        return len(streams) < MOST_OF_USER

    def join(self, stream: Stream) -> None:
        self._streams[stream.user].add(stream)
        self._joining[stream] = None
        self.open += 1
        STREAMS.set(self.open)
        self._wake.set()

    def leave(self, stream: Stream) -> None:
        """Also accepts a stream that has left already."""
        stream.close()
        streams = self._streams.get(stream.user, set())
        if stream not in streams:
            return
        streams.discard(stream)
        self._joining.pop(stream, None)
        self.open -= 1
        STREAMS.set(self.open)
        if not streams:
            del self._streams[stream.user]
            self._resets.pop(stream.user, None)
            self._owed.discard(stream.user)

    def beat(self, stream: Stream) -> bytes:
        """The current place, for a stream that has nothing else to send."""
        is_told_all = stream.joined and stream.user not in self._owed
        return live_events.beat(self._place if is_told_all else None)

    def end_denied(self, why: Callable[[Session], str | None]) -> None:
        """End the streams whose sessions are refused: revoked, or of a deactivated user."""
        self._close([s for s in self._all() if why(s.session) is not None], "revoked")

    def _all(self) -> list[Stream]:
        return [each for of_user in self._streams.values() for each in of_user]

    def _close(self, streams: Iterable[Stream], reason: str) -> None:
        for stream in streams:
            if not stream.closed:
                stream.close()
                STREAMS_CLOSED.labels(reason).inc()

    def hear(self, payload: str) -> None:
        if live_store.is_of_changes(payload) and self._concerns(payload):
            self._wake.set()

    def missed(self) -> None:
        self._wake.set()

    def _concerns(self, payload: str) -> bool:
        if not self.open:
            return False
        if asyncio.get_running_loop().time() - self._looked_at > BUSY_LOOK_S:
            return True
        return any(
            user in self._streams or user.user_id is None for user in live_store.told(payload)
        )

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await lifecycle.first_of(LOOK_S, self._wake, stop)
                self._wake.clear()
                if not self.open:
                    self._place = None
                    continue
                began = time.monotonic()
                await lifecycle.persist(self._look, stop, what="streams")
                rest_s = PACE.rest(time.monotonic() - began)
                await lifecycle.wait_or_stop(rest_s, stop)
        finally:
            self._is_over = True
            self._close(self._all(), "stopping")

    async def _look(self) -> None:
        """Raises:
        Unavailable: Postgres is away; nothing was sent.
        """
        self._looked_at = asyncio.get_running_loop().time()
        joining = list(itertools.islice(self._joining, JOINING))
        async with reading.snapshot(self._pool) as conn:
            place = await live_store.place(conn)
            if place is not None:
                await self._look_from(conn, place, joining)
        if place is None:
            await self._begin()
        if place is None or self._joining:
            self._wake.set()

    async def _look_from(
        self, conn: db.Connection, place: Place, joining: Sequence[Stream]
    ) -> None:
        changed = await self._changed(conn, place)
        missed = await _missed_by(conn, place, joining)
        self._defer_resets(changed)
        news = await live_reading.news(conn, _union(changed, missed))
        self._tell(news, place)
        self._place = place
        for stream in joining:
            self._admit(stream, missed.get(stream), news, place)

    async def _begin(self) -> None:
        with db.errors():
            async with self._pool.acquire() as conn:
                await live_store.begin(conn)

    async def _changed(self, conn: db.Connection, place: Place) -> dict[User, Names]:
        """What has changed since the last look, for users with joined streams."""
        joined = {user for user, of_user in self._streams.items() if _any_joined(of_user)}
        if self._place is None or not joined:
            return {}
        if not self._place.leads_to(place):
            log.warning("streams_reset", extra={"streams": self.open})
            return {user: Names(everything=True) for user in joined}
        rows = await live_store.entries(conn, self._place.snapshot)
        if len(rows) > live_store.MOST_ENTRIES:
            return {user: Names(everything=True) for user in joined}
        return _of(joined, ((row["company_id"], row["user_id"], row["entry"]) for row in rows))

    def _defer_resets(self, changed: dict[User, Names]) -> None:
        """A user who was reset a moment ago gets nothing until that interval is over."""
        now = asyncio.get_running_loop().time()
        for user in [*changed]:
            is_too_soon = self._resets.get(user, 0.0) > now
            if is_too_soon and (user in self._owed or changed[user].is_too_much):
                self._owed.add(user)
                del changed[user]
        for user in [each for each in self._owed if self._resets.get(each, 0.0) <= now]:
            changed[user] = Names(everything=True)

    def _tell(self, news: dict[User, News], place: Place) -> None:
        loop = asyncio.get_running_loop()
        reset = live_events.frame(RESET, place)
        for user, said in news.items():
            frame = live_events.frame(said, place)
            if frame == reset:
                self._owed.discard(user)
                self._resets[user] = loop.time() + RESET_S
                loop.call_later(RESET_S, self._wake.set)
            elif user in self._owed:
                continue
            for stream in [each for each in self._streams.get(user, ()) if each.joined]:
                self._push(stream, frame)

    def _admit(
        self, stream: Stream, missed: Names | None, news: dict[User, News], place: Place
    ) -> None:
        self._joining.pop(stream, None)
        stream.joined = True
        if missed is None or missed.is_too_much:
            self._push(stream, live_events.frame(RESET, place))
        else:
            said = news.get(stream.user, News())
            self._push(stream, live_events.frame(said, place) or live_events.beat(place))

    def _push(self, stream: Stream, frame: bytes) -> None:
        if not stream.push(frame):
            STREAMS_CLOSED.labels("slow").inc()


def _any_joined(streams: Iterable[Stream]) -> bool:
    return any(stream.joined for stream in streams)


def _of(joined: set[User], rows: Iterable[tuple[int, int, str]]) -> dict[User, Names]:
    """The entries' names, for those who have joined."""
    found: defaultdict[User, Names] = defaultdict(Names)
    companies = set()
    for company_id, user_id, entry in rows:
        user = User(company_id, user_id)
        if user_id == live_store.ALL:
            companies.add(company_id)
        elif user in joined:
            found[user].add(parse(entry))
    for user in joined:
        if user.company_id in companies:
            found[user].status = True
    return dict(found)


async def _missed_by(
    conn: db.Connection, place: Place, joining: Sequence[Stream]
) -> dict[Stream, Names]:
    """What each missed since its last event; nothing for streams that start afresh."""
    known: list[Stream] = []
    asked = []
    for stream in joining:
        if stream.resume_at is not None and stream.resume_at.leads_to(place):
            asked.append((len(known), *stream.user, stream.resume_at.snapshot))
            known.append(stream)
    missed = {stream: Names() for stream in known}
    counts: Counter[Stream] = Counter()
    for row in await live_store.entries_of(conn, asked) if asked else []:
        stream = known[row["place"]]
        counts[stream] += 1
        missed[stream].add(parse(row["entry"]))
    for stream, entries in counts.items():
        missed[stream].everything |= entries > live_store.MOST_ENTRIES_OF_USER
    return missed


def _union(changed: Mapping[User, Names], behind: Mapping[Stream, Names]) -> dict[User, Names]:
    union = dict(changed)
    for stream, names in behind.items():
        if not names.is_too_much:
            union.setdefault(stream.user, Names()).add(names)
    return union
