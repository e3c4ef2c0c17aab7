"""A service's HTTP application: its endpoints, and what every service has beside them.

Rule: health is a loop over named pings; a process that merely waits for a dependency is alive.
A ping may answer what is wrong though the process can work: it is ready then, and says so.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

from shared import heart, lifecycle, openapi, origins
from shared.auth import Authenticator
from shared.errors import Unavailable
from shared.observability import HTTP_REQUESTS, HTTP_SECONDS
from shared.openapi import Endpoint, Handler
from shared.web import AUTHENTICATOR, Refused, answer, raw, refusal, refused

log = logging.getLogger(__name__)

Ping = Callable[[], Awaitable[str | None]]
PING_S = 3.0
LONGEST_LINE_BYTES = 64 * 1024
"""Of a request. What is too long for one endpoint is told so in its own words up to here."""
PARSING: Mapping[str, Any] = {
    "max_line_size": LONGEST_LINE_BYTES,
    "max_field_size": LONGEST_LINE_BYTES,
    "auto_decompress": False,
}
"""What the framework cannot decode it would refuse in words of its own: `shared/encodings.py`."""
IDLE_S = web.AppKey("idle_s", float)
LONGEST_IDLE_S = 75.0
"""How long a connection may take over the lines of a request, or until the next one. Reverse
proxies keep theirs for 60 s at most, unless they are told otherwise.
"""
UNMATCHED = "unmatched"
DOCS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def faced(handler: Handler, route: str) -> Handler:
    """The handler with errors turned into answers, measured under its route.

    Wrapped by hand because a middleware costs every request of aiohttp two more coroutines, and
    with its counters found by hand because finding one by its labels takes longer than counting.
    """
    seconds = HTTP_SECONDS.labels(route)
    requests: dict[tuple[str, int], Counter] = {}

    async def face(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the one place where errors become answers
            response = refusal(refused(error))
        seconds.observe(time.perf_counter() - began)
        place = (request.method, response.status)
        if place not in requests:
            requests[place] = HTTP_REQUESTS.labels(request.method, route, response.status)
        requests[place].inc()
        return response

    return face


async def _unmatched(request: web.Request) -> web.StreamResponse:
    """What a browser asks before a page of another origin may call.

    Raises: 405 where another method is served, else 404.
    """
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource.name != UNMATCHED:
            allowed |= (await resource.resolve(request))[1]
    if allowed and origins.asks(request):
        return origins.told(allowed)
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound


def application(
    endpoints: Sequence[Endpoint],
    *,
    title: str,
    pings: Mapping[str, Ping],
    authenticator: Authenticator | None = None,
    max_body_bytes: int = 1024 * 1024,
    pages: Mapping[str, Handler] = MappingProxyType({}),
) -> web.Application:
    """The endpoints, with health, metrics, `/openapi.json` and `/docs` beside them.

    `pings` say whether the process can work; its hearts, whether it should be left running.
    `pages` are for people and stand in no document.
    """
    app = web.Application(client_max_size=max_body_bytes)
    if authenticator is not None:
        app[AUTHENTICATOR] = authenticator
    for endpoint in endpoints:
        handler = faced(endpoint.handler, endpoint.path)
        app.router.add_route(endpoint.method, endpoint.path, handler)
    for path, page in pages.items():
        _add_get(app, path, page)
    _add_get(app, "/healthz", _healthz)
    _add_get(app, "/readyz", _readyz(pings))
    _add_get(app, "/metrics", _metrics)
    _install_docs(app, openapi.document(title, endpoints))
    everything_else = app.router.add_resource("/{path:.*}", name=UNMATCHED)
    everything_else.add_route("*", faced(_unmatched, UNMATCHED))
    origins.open_to_browsers(app)
    return app


def _add_get(app: web.Application, path: str, handler: Handler) -> None:
    app.router.add_get(path, faced(handler, path))


async def _healthz(_: web.Request) -> web.Response:
    stuck = heart.stuck()
    if stuck:
        raise Refused(503, "stuck", f"Does not get on with its work: {', '.join(stuck)}.")
    return answer({"status": "alive"})


def _readyz(pings: Mapping[str, Ping]) -> Handler:
    async def state(ping: Ping) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(PING_S):
                return True, await ping() or "ok"
        except (Unavailable, TimeoutError) as error:
            return False, str(error) or "no answer in time"

    async def readyz(_: web.Request) -> web.Response:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(state(p)) for name, p in pings.items()}
        states = {name: task.result() for name, task in tasks.items()}
        ready = all(works for works, _ in states.values())
        said = {name: text for name, (_, text) in states.items()}
        body = {"success": ready, "data": {"ready": ready, "dependencies": said}}
        if not ready:
            body |= {"error": "A dependency is away.", "code": "not_ready"}
        return raw(orjson.dumps(body), 200 if ready else 503)

    return readyz


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def server(app: web.Application, *, host: str, port: int) -> lifecycle.Loop:
    """A loop that serves until stopped, then finishes the requests in hand."""

    async def serve(stop: asyncio.Event) -> None:
        async with _listening(app, host, port):
            log.info("listening", extra={"port": port})
            await lifecycle.idle(stop)

    return serve


@asynccontextmanager
async def preparing(*, title: str, host: str, port: int) -> AsyncIterator[None]:
    """Answers probes while the block prepares what the service's own application needs: the
    process waits, so it is alive, and it is not ready. The block has a heart.
    """

    async def prepared() -> None:
        raise Unavailable("waits for its servers")

    app = application([], title=title, pings={"start": prepared})
    async with _listening(app, host, port):
        with heart.beating("start"):
            yield


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=5,
        keepalive_timeout=app.get(IDLE_S, LONGEST_IDLE_S),
        **PARSING,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024, reuse_port=False)
        await site.start()
        yield
    finally:
        await runner.cleanup()


def _folder_of(package: str) -> Path:
    """Where it lies, found without importing it: this one would bring a template engine along."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise AssertionError(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _install_docs(app: web.Application, described: Mapping[str, Any]) -> None:
    """Serve the document, and a page that needs no network beyond this service."""
    content = orjson.dumps(described)
    page = openapi.PAGE.format(title=described["info"]["title"])
    folder = _folder_of("swagger_ui") / "static"

    async def openapi_json(_: web.Request) -> web.Response:
        return raw(content)

    async def docs(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def asset(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in DOCS:
            raise web.HTTPNotFound
        headers = {"Content-Type": DOCS[name], "Cache-Control": "max-age=86400"}
        return web.FileResponse(folder / name, headers=headers)

    _add_get(app, "/openapi.json", openapi_json)
    _add_get(app, "/docs", docs)
    _add_get(app, "/docs/{name}", asset)
