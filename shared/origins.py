"""Lets pages of other origins call the users' endpoints.

Rule: any origin may. Whoever calls needs a token, which a browser sends for nobody by itself; the
webhook door and everything else is left to browsers' own refusal.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import hdrs, web

USERS: Final = "/api/"
ASKED: Final = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"
SHOWN: Final = "Allow, ETag, Idempotency-Replayed, Retry-After, WWW-Authenticate, X-After"
"""Of the headers of an answer, those that a page may read beside what every page may."""
KEPT_S: Final = 600
"""How long a browser need not ask again."""

HEADERS: Final[Mapping[str, str]] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: SHOWN,
}
LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
"""For answers that are composed by hand."""


def open_to_browsers(app: web.Application) -> None:
    """Before the application is started."""
    app.on_response_prepare.append(_allow)


def asks(request: web.Request) -> bool:
    """Whether a browser may be asking what it may send."""
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
