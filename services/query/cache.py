"""The API's side of the cache: a page is served from it only if none newer could be read.

Rule 1: every request asks Redis for the current generations, in one round trip; a page is served
        only if it was read under exactly these. So it may also come from this process's memory.
Rule 2: the generations a page is kept under were seen before its snapshot was taken.
Rule 3: a request that meets a dirty generation reads Postgres and caches nothing. So does one that
        cannot ask Redis, or whose process was told a moment ago that generations cannot be marked;
        after that moment, such a process makes all pages invalid before it trusts any: the process
        that told it may have died.
Rule 4: of requests that miss the same page under the same generations, one reads, in whatever
        process: the others wait for what it caches. If that reader dies, its claim expires, and
        another reads.
Rule 5: while Postgres is away nothing newer can be read: the last cached page, until it expires,
        is served marked stale.
Rule 6: the company's part of a page is right under the company's own generation: where that has
        moved on, it is looked up when the page is served.
Rule 7: a page's lifetime is measured by Redis and, in a process, by the monotonic clock: however
        far the machines' clocks differ, it ends as set when it was first cached.
"""

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from services.query.batch import User
from services.query.encoding import Content
from services.query.flights import Flights
from services.query.generation import (
    CLAIM_MS,
    CLEAN_S,
    DIRTY,
    PAGE_S,
    READ,
    WAIT,
    Keys,
    Now,
    Part,
    fresh,
)
from services.query.live.store import UNMARKED
from services.query.reading import Read
from services.query.wire import Wire
from shared import background
from shared.errors import Unavailable
from shared.observability import CACHE_ERRORS

MEMORY_BYTES: Final = 64 * 1024 * 1024
BESIDE_BYTES: Final = 1_600
"""Overhead per page in memory: its names, and what it was read under. An empty result is a hundred
bytes.
"""
REMEMBERED_PARTS: Final = 20_000
DOUBT_S: Final = 5.0
"""How long Redis is not trusted after a process reported that it cannot mark there; it repeats the
report four times a second while that lasts.
"""
SEPARATOR: Final = b"\n"
LOOKS_S: Final = (0.004, 0.008, 0.016)
"""Between looks for a page that another process reads; the last one repeats."""
WAIT_S: Final = 2 * CLAIM_MS / 1000


class Origin(StrEnum):
    CACHE = "cache"
    STORE = "store"
    STORE_DIRTY = "store_dirty"
    STORE_CACHE_AWAY = "store_cache_away"
    STALE = "stale"


class Served(NamedTuple):
    """`tag` names the generations it was read under; `kept_at` is in seconds of `time.monotonic`.
    `status` is the company's, as read; unless `is_told`, it may be outdated by now, and what is
    found instead may be cached under `status_tag`, if there is one.
    """

    content: Content
    origin: Origin
    etag: str | None = None
    tag: bytes | None = None
    kept_at: float = 0.0
    status: bytes = b""
    is_told: bool = True
    status_tag: bytes | None = None

    @property
    def body(self) -> bytes:
        return self.content.plain


def _read(read: Read, origin: Origin) -> Served:
    return Served(Content(read.body), origin, status=read.status)


@dataclass(frozen=True, slots=True)
class Page:
    """As served from the cache. `now` are the clean generations it was read under, or null where
    they are unknown; without the company's, if that was not clean.
    """

    now: Now | None
    served: Served

    def is_under(self, now: Now) -> bool:
        """Whether it may be served."""
        return self.now == now or self.served.tag == now.tag

    def told(self, now: Now) -> Served:
        """As it may be served, with the company's status if that is still current."""
        if self.now == now and now.company is not None:
            return self.served
        return self.served._replace(is_told=False, status_tag=now.company_tag)

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.served.kept_at >= PAGE_S


class Flight(NamedTuple):
    """A page being read, or looked for, under clean generations, which `tag` names."""

    part: Part
    name: str
    now: Now
    tag: bytes


ReadPage = Callable[[], Awaitable[Read]]


class Cache:
    def __init__(self, wire: Wire, keys: Keys) -> None:
        self._wire = wire
        self._keys = keys
        self._memory = Memory(MEMORY_BYTES)
        self._looks: dict[Part, tuple[str, ...]] = {}
        self._reads = Flights[Flight, Served]()
        self._doubted_until = 0.0
        """0: Redis is trusted."""

    def hear(self, payload: str) -> None:
        if payload == UNMARKED:
            self._doubted_until = time.monotonic() + DOUBT_S

    def missed(self) -> None:
        """Nothing to do: the report is repeated while the trouble lasts."""

    async def page(self, part: Part, name: str, read: ReadPage) -> Served:
        """Raises:
        Unavailable: no page is cached, and Postgres is away.
        """
        held = self._memory.get((part, name))
        now: Now | None
        try:
            now = await self._look(part)
        except Unavailable:
            now = None
        if now is not None and held is not None and held.is_under(now) and not held.is_over:
            return held.told(now)
        try:
            return await self._missed(part, name, now, read)
        except Unavailable:
            last = await self._last(part, name)
            if last is None:
                raise
            return last

    async def is_current(self, part: Part, served: Served) -> bool:
        """Whether the page may still be served from the cache.

        Raises:
            Unavailable: Redis is away, or not trusted.
        """
        now = await self._look(part)
        return served.tag is not None and now.tag == served.tag

    async def _missed(self, part: Part, name: str, now: Now | None, read: ReadPage) -> Served:
        try:
            if now is not None and not now.is_complete:
                await self._begin(part)
                now = await self._look(part)
        except Unavailable:
            now = None
        if now is None:
            return await self._without_redis(read)
        if now.tag is None:
            return _read(await read(), Origin.STORE_DIRTY)
        flight = Flight(part, name, now, now.tag)
        return await self._reads.join(flight, lambda: self._found_or_filled(flight, read))

    async def _without_redis(self, read: ReadPage) -> Served:
        CACHE_ERRORS.labels("look").inc()
        return _read(await read(), Origin.STORE_CACHE_AWAY)

    async def _look(self, part: Part) -> Now:
        if self._doubted_until:
            await self._pass_doubt()
        run, answer = await self._wire.ask(self._looks.get(part) or self._remember(part))
        return Now(run, *answer)

    async def _pass_doubt(self) -> None:
        """The process that reported changes which could not be marked may have died before it
        invalidated the pages of that time: each process that got the report does so, too.

        Raises:
            Unavailable: it is too early, or Redis is away.
        """
        until = self._doubted_until
        if time.monotonic() < until:
            raise Unavailable("Redis: changes could not be written to it a moment ago")
        await self._wire.call(*self._keys.raise_epoch())
        if self._doubted_until == until:
            self._doubted_until = 0.0

    async def _found_or_filled(self, flight: Flight, read: ReadPage) -> Served:
        try:
            page = await self._fetch(flight)
        except Unavailable:
            return await self._without_redis(read)
        if page is None:
            return await self._fill(flight, read)
        self._memory.put((flight.part, flight.name), page)
        return page.told(flight.now)

    async def _fetch(self, flight: Flight) -> Page | None:
        """The page in Redis, if it was read under these generations; null if it is to be read
        here. While another process reads it, waits for that.
        """
        part, name, now, tag = flight
        claim = self._keys.claiming(part.user, name, tag, SEPARATOR)
        give_up_at = time.monotonic() + WAIT_S
        for wait in itertools.chain(LOOKS_S, itertools.repeat(LOOKS_S[-1])):
            answer = await self._wire.call(*claim)
            if answer not in (READ, WAIT):
                value, left_ms = answer
                return _unpacked(value, left_ms, now)
            if answer == READ or time.monotonic() > give_up_at:
                break
            await asyncio.sleep(wait)
        return None

    async def _last(self, part: Part, name: str) -> Served | None:
        """The last cached page, whatever has changed since."""
        page = self._memory.get((part, name))
        with contextlib.suppress(Unavailable):
            key = self._keys.page(part.user, name)
            value, left_ms = await self._wire.call_all([("GET", key), ("PTTL", key)])
            if value is not None:
                held = _unpacked(value, left_ms, None)
                page = max(filter(None, (page, held)), key=lambda each: each.served.kept_at)
        if page is None or page.is_over:
            return None
        return page.served._replace(origin=Origin.STALE, etag=None)

    def _remember(self, part: Part) -> tuple[str, ...]:
        if len(self._looks) >= REMEMBERED_PARTS:
            self._looks.clear()
        company = Part(User(part.user.company_id, None))
        names = (self._keys.epoch, self._keys.generation(company), self._keys.generation(part))
        look = self._looks[part] = ("MGET", *names)
        return look

    async def _begin(self, part: Part) -> None:
        """Set a first generation where there is none; a mark set meanwhile stays."""
        _, epoch, company, own = self._remember(part)
        await self._wire.call_all(
            [
                ("SET", epoch, fresh(), "NX"),
                ("SET", company, fresh(), "NX", "EX", CLEAN_S),
                ("SET", own, fresh(), "NX", "EX", CLEAN_S),
            ]
        )

    async def _fill(self, flight: Flight, read: ReadPage) -> Served:
        part, name, now, tag = flight
        claim = self._keys.claim(part.user, name)
        try:
            result = await read()
        except BaseException:
            await self._tell(("DEL", claim))
            raise
        if not result.lasts:  # so each request reads it, at the same time
            await self._tell(("SET", claim, tag + DIRTY, "PX", CLAIM_MS))
            return _read(result, Origin.STORE)
        told = tag + name.encode() + result.status
        mark = hashlib.blake2b(told, digest_size=12).hexdigest()
        # Weak, since each answer ends with figures of its own request.
        etag = f'W/"{mark}"'
        kept_at = time.monotonic()
        served = Served(Content(result.body), Origin.CACHE, etag, tag, kept_at, result.status)
        company = now.company if now.company_tag is not None else None
        self._memory.put((part, name), Page(now._replace(company=company), served))
        parts = (tag, etag.encode(), company or b"", result.status, result.body)
        value = SEPARATOR.join(parts)
        # The request need not wait for it: requests elsewhere find the claim meanwhile.
        page = self._keys.page(part.user, name)
        background.start(self._tell(("SET", page, value, "EX", PAGE_S), ("DEL", claim)))
        return served._replace(origin=Origin.STORE)

    async def _tell(self, *commands: tuple[Any, ...]) -> None:
        with contextlib.suppress(Unavailable):  # the next request finds out
            await self._wire.call_all(list(commands))


def _unpacked(value: bytes, left_ms: int, now: Now | None) -> Page:
    """A page as stored in Redis, valid for so long, seen under the generations `now`."""
    tag, etag, company, status, body = value.split(SEPARATOR, 4)
    kept_at = time.monotonic() + left_ms / 1000 - PAGE_S
    served = Served(Content(body), Origin.CACHE, etag.decode(), tag, kept_at, status)
    return Page(now and now._replace(company=company or None), served)


class Memory:
    """The most recently used pages, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[Part, str], Page] = OrderedDict()

    def get(self, key: tuple[Part, str]) -> Page | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: tuple[Part, str], page: Page) -> None:
        before = self._pages.pop(key, None)
        if before is not None:
            self._bytes -= _size(before)
        self._pages[key] = page
        self._bytes += _size(page)
        while self._bytes > self._most_bytes:
            _, dropped = self._pages.popitem(last=False)
            self._bytes -= _size(dropped)


def _size(page: Page) -> int:
    return BESIDE_BYTES + len(page.served.body)
