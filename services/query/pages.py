"""Answers from the cache: one handler for every list whose pages are cached.

Rule: a cached page is sent byte for byte, plain or deflated once, with a tail about the request.
"""

import functools
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from aiohttp import hdrs, web

from services.query import encoding
from services.query.batch import User
from services.query.cache import Origin, Served
from services.query.generation import Part, View
from services.query.live import arrivals
from services.query.parts import Parts
from services.query.reading import Read
from services.query.sampler import Sample
from services.query.statuses import StatusKey, TellStatus
from shared import db, origins, ready
from shared.errors import Unavailable
from shared.observability import PAGE_READS, PAGES, STALE_PAGES
from shared.openapi import Handler
from shared.web import JSON_TYPE, Refused, identity

HITS: Final = frozenset((Origin.CACHE, Origin.STALE))
REMEMBERED_USERS: Final = 20_000
REMEMBERED: Final = 4096
REMEMBERED_CHARS: Final = 500
"""Of a query string: strings of any length may ask for the same, with extra separators or leading
zeros.
"""


class Asked(Protocol):
    """A parsed request; requests for the same page have the same name."""

    @property
    def name(self) -> str: ...


AskedT = TypeVar("AskedT", bound=Asked)
Ask = Callable[[web.Request], tuple[AskedT, str]]
Reader = Callable[[db.Connection, User, AskedT], Awaitable[Read]]


def remembering(parse: Callable[[web.Request], AskedT]) -> Ask[AskedT]:
    """Parses a query string once: parsing costs more than a cache hit."""
    remembered: OrderedDict[str, tuple[AskedT, str]] = OrderedDict()

    def ask(request: web.Request) -> tuple[AskedT, str]:
        text = request.rel_url.raw_query_string
        known = remembered.get(text)
        if known is not None:
            return known
        asked = parse(request)
        known = asked, asked.name
        if len(text) <= REMEMBERED_CHARS:
            remembered[text] = known
        if len(remembered) > REMEMBERED:
            remembered.popitem(last=False)
        return known

    return ask


def cached(
    parts: Parts,
    view: View,
    route: str,
    ask: Ask[AskedT],
    reader: Reader[AskedT],
    *,
    tell_status: TellStatus | None = None,
) -> Handler:
    """A handler that answers a user's page from the cache, or reads it. `tell_status` is for pages
    that show the company's sync status.
    """
    counted = {origin: PAGES.labels(route, origin.value) for origin in Origin}
    reads = PAGE_READS.labels(route)
    STALE_PAGES.labels(route)  # exists from the start, so that its rate is 0 and not missing

    async def page(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        who = identity(request)
        part = _part(who.company_id, who.user_id, view)
        user = part.user
        asked, name = ask(request)

        async def read() -> Read:
            async with parts.snapshot(user) as conn:
                reads.inc()
                return await reader(conn, user, asked)

        served = await parts.cache.page(part, name, read)
        status, is_stale = served.status, parts.watch.away or served.origin is Origin.STALE
        if tell_status is not None and not served.is_told:
            try:
                status = await _status(parts, StatusKey(user.company_id, tell_status), served)
            except Unavailable:
                is_stale = True
        counted[Origin.STALE if is_stale else served.origin].inc()
        if parts.samples.wanted and served.origin is Origin.CACHE:
            parts.samples.offer(
                Sample(part, route, name, served, lambda conn: reader(conn, user, asked))
            )
        return _page(request, served, status, began, is_stale=is_stale)

    page.__name__ = reader.__name__
    return page


async def _status(parts: Parts, key: StatusKey, served: Served) -> bytes:
    """The company's present status; the last known one where there is no room for a read.

    Raises:
        Unavailable: Postgres is away.
    """
    try:
        return await parts.statuses.now(key, served.status_tag, parts.snapshot)
    except Refused:
        return parts.statuses.last(key, since=served.kept_at) or served.status


@functools.lru_cache(REMEMBERED_USERS)
def _part(company_id: int, user_id: int, view: View) -> Part:
    """Looked up, because making named tuples costs three times as much."""
    return Part(User(company_id, user_id), view)


def user_of(request: web.Request) -> User:
    who = identity(request)
    return User(who.company_id, who.user_id)


# Cached by the browser alone, and revalidated each time: the answer is 304, or fresh.
_COMMON: Final = {
    "Cache-Control": "private, no-cache",
    "Vary": "Accept-Encoding, Authorization",
}
_PLAIN: Final = _COMMON | {"Content-Type": JSON_TYPE}
_GZIP: Final = {"Content-Encoding": "gzip"}


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


_READY_PLAIN: Final = _lines(_COMMON) + b"ETag: %b\r\n"
_READY_GZIP: Final = _lines(_COMMON | _GZIP) + b"ETag: %b\r\n"


def _page(
    request: web.Request, served: Served, status: bytes, began: float, *, is_stale: bool
) -> web.StreamResponse:
    etag = None if is_stale else served.etag
    if etag is not None and status is not served.status:
        etag = f'{etag[:-1]}-{zlib.crc32(status):08x}"'
    condition = request.headers.get("If-None-Match")
    if etag is not None and condition is not None and encoding.matches(condition, etag):
        return web.Response(status=304, headers=_COMMON | {"ETag": etag})
    content = served.content
    after = request.get(arrivals.STATE) if len(request) else None  # most have none
    tail = status + _tail(served.origin, began, is_stale=is_stale, after=after)
    accepted = request.headers.get("Accept-Encoding")
    is_packed = (
        accepted is not None
        and len(content.plain) >= encoding.LEAST_BYTES
        and encoding.takes_gzip(accepted)
    )
    body = content.gzip() if is_packed else content.plain
    if is_packed:
        tail = content.gzip_tail(tail)
    if etag is not None and after is None and ready.suits(request):
        head = (_READY_GZIP if is_packed else _READY_PLAIN) % etag.encode()
        if hdrs.ORIGIN in request.headers:
            head += origins.LINES
        return ready.Ready(body, tail, headers=head)
    headers = _PLAIN | (_GZIP if is_packed else {}) | ({"ETag": etag} if etag is not None else {})
    return web.Response(body=body + tail, headers=headers)


def _tail(origin: Origin, began: float, *, is_stale: bool, after: str | None) -> bytes:
    total = b"%.3f" % ((time.perf_counter() - began) * 1000)
    is_hit = origin in HITS
    return b',"performance":{"queryTime":%b,"cacheHit":%b,"totalTime":%b%b}%b}' % (
        b"0.000" if is_hit else total,
        b"true" if is_hit else b"false",
        total,
        b',"after":"%b"' % after.encode() if after is not None else b"",
        b',"stale":true' if is_stale else b"",
    )
