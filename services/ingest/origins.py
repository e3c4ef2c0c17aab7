"""Lets the page for people, which another service gives out, call the users' endpoints.

Rule: any origin may. Whoever calls needs a token, which a browser sends for nobody by itself; the
webhook door and everything else is left to browsers' own refusal.
"""

from collections.abc import Iterable
from typing import Final

from aiohttp import hdrs, web

from shared.openapi import Endpoint, Handler

HEADERS: Final = "Authorization, Content-Type, Idempotency-Key"
KEPT_S: Final = 600
"""How long a browser need not ask again."""


def open_to_browsers(app: web.Application, endpoints: Iterable[Endpoint]) -> None:
    """Before the application is started."""
    methods: dict[str, set[str]] = {}
    for endpoint in endpoints:
        methods.setdefault(endpoint.path, set()).add(endpoint.method)
    for path, allowed in methods.items():
        app.router.add_route(hdrs.METH_OPTIONS, path, _asked(", ".join(sorted(allowed))))
    app.on_response_prepare.append(_allow)


def _asked(methods: str) -> Handler:
    async def asked(_: web.Request) -> web.Response:
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: methods,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(KEPT_S),
        }
        return web.Response(status=204, headers=headers)

    return asked


async def _allow(request: web.Request, response: web.StreamResponse) -> None:
    if hdrs.ORIGIN in request.headers and request.path.startswith("/api/"):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
