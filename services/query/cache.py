"""The API's side of the cache: a page is served from it only if none newer could be read.

Rule 1: every request asks Redis for the current generations, in one round trip; a page is served
        only if it was read under exactly these. So it may as well lie in this process.
Rule 2: the generations a page is kept under were seen before its snapshot was taken.
Rule 3: who meets a dirty generation reads Postgres and keeps nothing. So does who cannot ask.
Rule 4: of those who miss the same page under the same generations, one reads.
"""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from services.query.batch import User
from services.query.generation import CLEAN_S, PAGE_S, Keys, Now, fresh
from services.query.reading import Read
from services.query.wire import Wire
from shared.errors import Unavailable
from shared.observability import CACHE_ERRORS

MEMORY_BYTES: Final = 64 * 1024 * 1024
REMEMBERED_USERS: Final = 10_000
SEPARATOR: Final = b"\n"


class Origin(StrEnum):
    CACHE = "cache"
    STORE = "store"
    STORE_DIRTY = "store_dirty"
    STORE_CACHE_AWAY = "store_cache_away"


class Served(NamedTuple):
    body: bytes
    etag: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Page:
    """As it is served from the cache. `now` are the generations it was read under, clean; `until`
    is a wall clock's second.
    """

    now: Now
    until: float
    served: Served


Flight = tuple[User, str, Now]
ReadPage = Callable[[], Awaitable[Read]]


class Cache:
    def __init__(self, wire: Wire, keys: Keys) -> None:
        self._wire = wire
        self._keys = keys
        self._memory = Memory(MEMORY_BYTES)
        self._looks: dict[User, tuple[str, ...]] = {}
        self._reads: dict[Flight, asyncio.Task[Served]] = {}

    async def page(self, user: User, name: str, read: ReadPage) -> Served:
        """Raises:
        Unavailable: the page is not in the cache, and Postgres is away.
        """
        held = self._memory.get((user, name))
        try:
            now = await self._look(user)
            if held is not None and held.now == now and held.until > time.time():
                return held.served
            if not now.is_complete:
                await self._begin(user)
                now = await self._look(user)
            tag = now.tag
            there = await self._fetch(user, name, now) if tag is not None else None
        except Unavailable:
            CACHE_ERRORS.labels("look").inc()
            return Served((await read()).body, None, Origin.STORE_CACHE_AWAY)
        if tag is None:
            return Served((await read()).body, None, Origin.STORE_DIRTY)
        if there is not None:
            self._memory.put((user, name), there)
            return there.served
        return await self._read_once(user, name, now, read)

    async def _read_once(self, user: User, name: str, now: Now, read: ReadPage) -> Served:
        flight = (user, name, now)
        task = self._reads.get(flight)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fill(user, name, now, read))
            self._reads[flight] = task
            task.add_done_callback(lambda done: self._landed(flight, done))
        return await asyncio.shield(task)

    def _landed(self, flight: Flight, task: asyncio.Task[Served]) -> None:
        del self._reads[flight]
        if not task.cancelled():
            task.exception()  # read here: whoever asked may be gone

    async def _look(self, user: User) -> Now:
        run_id, answer = await self._wire.ask(self._looks.get(user) or self._remember(user))
        return Now(run_id, *answer)

    async def _fetch(self, user: User, name: str, now: Now) -> Page | None:
        """The page that Redis holds, if it was read under these generations."""
        value = await self._wire.call("GET", self._keys.page(user, name))
        if value is None:
            return None
        tag, etag, until, body = value.split(SEPARATOR, 3)
        if tag != now.tag:
            return None
        return Page(now, float(until), Served(body, etag.decode(), Origin.CACHE))

    def _remember(self, user: User) -> tuple[str, ...]:
        if len(self._looks) >= REMEMBERED_USERS:
            self._looks.clear()
        company = User(user.company_id, None)
        names = (self._keys.epoch, self._keys.generation(company), self._keys.generation(user))
        look = self._looks[user] = ("MGET", *names)
        return look

    async def _begin(self, user: User) -> None:
        """Give what has no generation a first one; a mark set meanwhile stays."""
        _, epoch, company, own = self._remember(user)
        await self._wire.call_all(
            [
                ("SET", epoch, fresh(), "NX"),
                ("SET", company, fresh(), "NX", "EX", CLEAN_S),
                ("SET", own, fresh(), "NX", "EX", CLEAN_S),
            ]
        )

    async def _fill(self, user: User, name: str, now: Now, read: ReadPage) -> Served:
        result = await read()
        tag = now.tag
        if tag is None or not result.lasts:
            return Served(result.body, None, Origin.STORE)
        mark = hashlib.blake2b(tag + name.encode(), digest_size=12).hexdigest()
        etag = f'"{mark}"'
        until = time.time() + PAGE_S
        page = Page(now, until, Served(result.body, etag, Origin.CACHE))
        self._memory.put((user, name), page)
        value = SEPARATOR.join((tag, etag.encode(), repr(until).encode(), result.body))
        with contextlib.suppress(Unavailable):  # the next who asks finds out
            await self._wire.call("SET", self._keys.page(user, name), value, "EX", PAGE_S)
        return Served(result.body, etag, Origin.STORE)


class Memory:
    """The pages used last, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[User, str], Page] = OrderedDict()

    def get(self, key: tuple[User, str]) -> Page | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: tuple[User, str], page: Page) -> None:
        before = self._pages.pop(key, None)
        if before is not None:
            self._bytes -= len(before.served.body)
        self._pages[key] = page
        self._bytes += len(page.served.body)
        while self._bytes > self._most_bytes:
            _, dropped = self._pages.popitem(last=False)
            self._bytes -= len(dropped.served.body)
