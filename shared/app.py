"""A service's HTTP application: its endpoints, and what every service has besides.

Rule: health is a loop over named pings; a process that merely waits for a dependency is alive.
A ping may report a problem that does not stop the process: it is then ready, and says so.
"""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared import heart, lifecycle, openapi, origins
from shared.auth import Authenticator
from shared.errors import Misconfigured, Unavailable
from shared.http_connection import Connections
from shared.observability import HTTP
from shared.openapi import Endpoint, Handler
from shared.sparing import Sparing
from shared.web import (
    AUTHENTICATOR,
    FOR_PEOPLE,
    LEAVING,
    RETRY_AFTER_S,
    Refused,
    answer,
    raw,
    refusal,
    refused,
    without_parameters,
)

log = logging.getLogger(__name__)

Ping = Callable[[], Awaitable[str | None]]
Serving = Callable[[web.Application], lifecycle.Loop]
PING_S = 3.0
NO_ANSWER = "no answer in time"
IDLE_S = web.AppKey("idle_s", float)
LONGEST_IDLE_S = 75.0
"""How long a connection may take to send a request's head, or until the next request. Reverse
proxies keep theirs for 60 s at most, by default.
"""
LEAVE_S = web.AppKey("leave_s", float)
LONGEST_LEAVE_S = 0.5
"""How long after a stop open connections still accept requests. A load balancer reuses them from
one request to the next; one sent as its connection was closed would have failed.
"""
TELL_S = 10.0
UNMATCHED = "unmatched"
DOCS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def done_without(ping: Ping, how: str) -> Ping:
    """For a dependency that is optional: without it the process is ready, and says how it
    copes.
    """

    async def say() -> str | None:
        try:
            async with asyncio.timeout(PING_S / 2):
                return await ping()
        except (Unavailable, TimeoutError) as error:
            return f"away, {how}: {str(error) or NO_ANSWER}"

    return say


def faced(handler: Handler, route: str, leaving: asyncio.Event) -> Handler:
    """The handler with errors turned into answers, measured under its route.

    Wrapped here because a middleware costs every request of aiohttp two more coroutines.
    """
    answered = HTTP.route(route)
    tell_outage = _teller(route)

    async def face(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the one place where errors become answers
            if isinstance(error, Unavailable):
                tell_outage(error)
            response = refusal(refused(error))
        if leaving.is_set():
            response.force_close()
        answered.add(request.method, response.status, time.perf_counter() - began)
        return response

    return face


def _teller(route: str) -> Callable[[Unavailable], None]:
    """Of all requests that fail because of an outage, one in so many seconds is logged: how many
    they are is counted.
    """
    tell_at = 0.0

    def tell(outage: Unavailable) -> None:
        nonlocal tell_at
        now = time.monotonic()
        if now >= tell_at:
            tell_at = now + TELL_S
            log.warning("request_unavailable", extra={"route": route, "reason": str(outage)})

    return tell


async def _unmatched(request: web.Request) -> web.StreamResponse:
    """Answers a browser's preflight request for pages of another origin.

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
    """The endpoints, with health, metrics, `/openapi.json` and `/docs` besides.

    `pings` show whether the process can work; its hearts, whether it should be restarted.
    `pages` are for people and not in the OpenAPI document.
    """
    app = web.Application(client_max_size=max_body_bytes)
    app[LEAVING] = asyncio.Event()
    if authenticator is not None:
        app[AUTHENTICATOR] = authenticator
    for endpoint in endpoints:
        handler = endpoint.handler
        if endpoint.auth == "bearer" and endpoint.query is None:
            handler = without_parameters(handler)
        faced_handler = faced(handler, endpoint.path, app[LEAVING])
        app.router.add_route(endpoint.method, endpoint.path, faced_handler)
    for path, page in pages.items():
        _add_get(app, path, page)
    _add_probes(app, pings)
    _install_docs(app, title, endpoints)
    _add_everything_else(app, _unmatched)
    origins.open_to_browsers(app)
    return app


def _add_probes(app: web.Application, pings: Mapping[str, Ping]) -> None:
    _add_get(app, "/healthz", _healthz)
    _add_get(app, "/readyz", _readyz(pings))
    _add_get(app, "/metrics", _metrics())


def _add_everything_else(app: web.Application, handler: Handler) -> None:
    resource = app.router.add_resource("/{path:.*}", name=UNMATCHED)
    resource.add_route("*", faced(handler, UNMATCHED, app[LEAVING]))


def _add_get(app: web.Application, path: str, handler: Handler) -> None:
    app.router.add_get(path, faced(handler, path, app[LEAVING]))


async def _healthz(_: web.Request) -> web.Response:
    stuck = heart.stuck()
    if stuck:
        raise Refused(503, "stuck", f"No progress: {', '.join(stuck)}.")
    return answer({"status": "alive"})


def _readyz(pings: Mapping[str, Ping]) -> Handler:
    async def state(ping: Ping) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(PING_S):
                return True, await ping() or "ok"
        except (Unavailable, TimeoutError) as error:
            return False, str(error) or NO_ANSWER

    async def look() -> tuple[bytes, int]:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(state(p)) for name, p in pings.items()}
        states = {name: task.result() for name, task in tasks.items()}
        ready = all(works for works, _ in states.values())
        said = {name: text for name, (_, text) in states.items()}
        body = {"success": ready, "data": {"ready": ready, "dependencies": said}}
        if not ready:
            body |= {"error": "A dependency is unavailable.", "code": "not_ready"}
        return orjson.dumps(body), 200 if ready else 503

    looks = Sparing(look)

    async def readyz(_: web.Request) -> web.Response:
        return raw(*await looks.get())

    return readyz


def _metrics() -> Handler:
    async def write() -> bytes:
        return generate_latest()

    writings = Sparing(write)

    async def metrics(_: web.Request) -> web.Response:
        content = await writings.get()
        return web.Response(body=content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics


def server(app: web.Application, *, host: str, port: int) -> lifecycle.Loop:
    """A loop that serves until stopped, then finishes the requests in progress."""

    async def serve(stop: asyncio.Event) -> None:
        async with _listening(app, host, port) as listener:
            log.info("listening", extra={"port": port})
            await lifecycle.idle(stop)
            await _take_leave(app, listener)

    return serve


@asynccontextmanager
async def preparing(*, host: str, port: int) -> AsyncIterator[Serving]:
    """Answers for a service while the block prepares what its own application needs: the process
    is waiting, so it is alive, and it is not ready. All other requests are told to retry: a 404
    would be taken at face value.

    The block gets what makes the loop that serves the application in place of this one. The port
    is open all the time: nobody is turned away in between. Until then the block has a heart.
    """
    with ExitStack() as start:
        start.enter_context(heart.beating("start"))
        async with _listening(_waiting(), host, port) as listener:

            def serving(app: web.Application) -> lifecycle.Loop:
                async def serve(stop: asyncio.Event) -> None:
                    start.close()
                    async with _set_up(web.AppRunner(app)) as served:
                        _take_over(listener, served)
                        log.info("listening", extra={"port": port})
                        await lifecycle.idle(stop)
                        await _take_leave(app, listener)
                        await listener.cleanup()  # finishes the requests in progress

                return serve

            yield serving


def _waiting() -> web.Application:
    """What is served until then. A connection takes one request: the next connection may reach the
    application.
    """

    async def start() -> None:
        raise Unavailable(lifecycle.reasons() or "preparing its store")

    async def wait(_: web.Request) -> web.Response:
        sentence = "The service is starting. Try again soon."
        raise Refused(503, "unavailable", sentence, Retry_After=RETRY_AFTER_S)

    async def close(_: web.Request, response: web.StreamResponse) -> None:
        response.force_close()

    app = web.Application()
    app[LEAVING] = asyncio.Event()
    app.on_response_prepare.append(close)
    _add_probes(app, {"start": start})
    _add_everything_else(app, wait)
    origins.open_to_browsers(app)
    return app


def _take_over(listener: web.BaseRunner, served: web.Server) -> None:
    """New connections reach what it serves."""
    connections = _server_of(listener)
    connections.request_handler = served.request_handler
    connections.request_factory = served.request_factory


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[web.BaseRunner]:
    async with _set_up(web.AppRunner(app)) as served:
        connections = Connections(served, idle_s=app.get(IDLE_S, LONGEST_IDLE_S))
        listener = web.ServerRunner(connections, shutdown_timeout=5)
        async with _set_up(listener):
            try:
                await web.TCPSite(listener, host, port, backlog=1024, reuse_port=False).start()
            except OSError as error:
                raise Misconfigured(f"HOST and PORT, {host}:{port}: {error.strerror}") from error
            yield listener


async def _take_leave(app: web.Application, listener: web.BaseRunner) -> None:
    """Accept no new connections, and one more request on each open one."""
    app[LEAVING].set()
    for site in listener.sites:
        await site.stop()
    if listener.server is not None and listener.server.connections:
        await asyncio.sleep(app.get(LEAVE_S, LONGEST_LEAVE_S))


@asynccontextmanager
async def _set_up(runner: web.BaseRunner) -> AsyncIterator[web.Server]:
    await runner.setup()
    try:
        yield _server_of(runner)
    finally:
        await runner.cleanup()


def _server_of(runner: web.BaseRunner) -> web.Server:
    if runner.server is None:
        raise AssertionError("a runner that is set up has a server")
    return runner.server


def _folder_of(package: str) -> Path:
    """The package's folder, without importing it: its import would load a template engine."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise AssertionError(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _install_docs(app: web.Application, title: str, endpoints: Sequence[Endpoint]) -> None:
    """Serve the document, and a page that needs no network beyond this service. It is generated
    when first requested: that takes a tenth of a process's start time.
    """
    page = openapi.PAGE.format(title=title)
    folder = _folder_of("swagger_ui") / "static"

    @functools.cache
    def content() -> bytes:
        return orjson.dumps(openapi.document(title, endpoints))

    async def openapi_json(_: web.Request) -> web.Response:
        return raw(content())

    async def docs(_: web.Request) -> web.Response:
        headers = FOR_PEOPLE | {"Content-Security-Policy": "frame-ancestors 'none'"}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def asset(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in DOCS:
            raise web.HTTPNotFound
        headers = {"Content-Type": DOCS[name], "Cache-Control": "max-age=86400"}
        return web.FileResponse(folder / name, headers=FOR_PEOPLE | headers)

    _add_get(app, "/openapi.json", openapi_json)
    _add_get(app, "/docs", docs)
    _add_get(app, "/docs/{name}", asset)
