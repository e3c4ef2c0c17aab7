"""A service's HTTP application: its endpoints, and what every service has beside them.

Rule: health is a loop over named pings; a process that merely waits for a dependency is alive.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared import lifecycle, openapi
from shared.auth import Authenticator
from shared.errors import Unavailable
from shared.observability import HTTP_REQUESTS, HTTP_SECONDS
from shared.openapi import Endpoint, Handler
from shared.web import AUTHENTICATOR, Refused, answer, raw, refusal, refused

log = logging.getLogger(__name__)

Ping = Callable[[], Awaitable[None]]
PING_S = 3.0
DOCS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Health:
    """`alive` says whether the process should be left running; `pings` whether it can work."""

    pings: Mapping[str, Ping]
    alive: Callable[[], bool] = lambda: True


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


@web.middleware
async def _face(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.perf_counter()
    try:
        response = await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  the one place where errors become answers
        response = refusal(refused(error))
    route = _route(request)
    HTTP_SECONDS.labels(route).observe(time.perf_counter() - began)
    HTTP_REQUESTS.labels(request.method, route, response.status).inc()
    return response


def application(
    endpoints: Sequence[Endpoint],
    *,
    title: str,
    health: Health,
    authenticator: Authenticator | None = None,
    max_body_bytes: int = 1024 * 1024,
) -> web.Application:
    """The endpoints, with health, metrics, `/openapi.json` and `/docs` beside them."""
    app = web.Application(middlewares=[_face], client_max_size=max_body_bytes)
    if authenticator is not None:
        app[AUTHENTICATOR] = authenticator
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.handler)
    app.router.add_get("/healthz", _healthz(health))
    app.router.add_get("/readyz", _readyz(health))
    app.router.add_get("/metrics", _metrics)
    _install_docs(app, openapi.document(title, endpoints))
    return app


def _healthz(health: Health) -> Handler:
    async def healthz(_: web.Request) -> web.Response:
        if not health.alive():
            raise Refused(503, "stuck", "The process does not get on with its work.")
        return answer({"status": "alive"})

    return healthz


def _readyz(health: Health) -> Handler:
    async def state(ping: Ping) -> str:
        try:
            async with asyncio.timeout(PING_S):
                await ping()
        except (Unavailable, TimeoutError) as error:
            return str(error) or "no answer in time"
        return "ok"

    async def readyz(_: web.Request) -> web.Response:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(state(p)) for name, p in health.pings.items()}
        states = {name: task.result() for name, task in tasks.items()}
        ready = all(state == "ok" for state in states.values())
        body = {"success": ready, "data": {"ready": ready, "dependencies": states}}
        if not ready:
            body |= {"error": "A dependency is away.", "code": "not_ready"}
        return raw(orjson.dumps(body), 200 if ready else 503)

    return readyz


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def server(app: web.Application, *, host: str, port: int) -> lifecycle.Loop:
    """A loop that serves until stopped, then finishes the requests in hand."""

    async def serve(stop: asyncio.Event) -> None:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, backlog=1024, reuse_port=False)
            await site.start()
            log.info("listening", extra={"port": port})
            await stop.wait()
        finally:
            await runner.cleanup()

    return serve


def _install_docs(app: web.Application, described: Mapping[str, Any]) -> None:
    """Serve the document, and a page that needs no network beyond this service."""
    content = orjson.dumps(described)
    page = openapi.PAGE.format(title=described["info"]["title"])
    folder = Path(str(files("swagger_ui"))) / "static"

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

    app.router.add_get("/openapi.json", openapi_json)
    app.router.add_get("/docs", docs)
    app.router.add_get("/docs/{name}", asset)
