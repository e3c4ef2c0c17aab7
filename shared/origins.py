"""Lets pages of other origins call the users' endpoints (CORS).

Rule: any origin may. Callers need a token, which no browser sends by itself; for the webhook door
and everything else browsers' same-origin policy stays in force.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import hdrs, web

USERS: Final = "/api/"
ASKED: Final = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"
SHOWN: Final = "Allow, ETag, Idempotency-Replayed, Retry-After, WWW-Authenticate, X-After"
"""Response headers that a page may read in addition to the standard ones."""
KEPT_S: Final = 600
"""How long a browser may cache the preflight answer."""

HEADERS: Final[Mapping[str, str]] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: SHOWN,
}
LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
"""For answers that are composed by hand."""


def open_to_browsers(app: web.Application) -> None:
    """Call before the application is started."""
    app.on_response_prepare.append(_allow)


def asks(request: web.Request) -> bool:
    """Whether it may be a browser's preflight request."""
    return request.method == hdrs.METH_OPTIONS and request.path.startswith(USERS)


def told(methods: Iterable[str]) -> web.Response:
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ASKED,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(KEPT_S),
    }
    return web.Response(status=204, headers=headers)


async def _allow(request: web.Request, response: web.StreamResponse) -> None:
    if hdrs.ORIGIN in request.headers and request.path.startswith(USERS):
        response.headers.update(HEADERS)
