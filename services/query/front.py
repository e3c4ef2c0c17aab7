"""The page that shows a user's list, what it may load, and where it finds other services.

Rule: only the page's own script runs, and no other site may frame it, where users could be made to
press its buttons unseen (clickjacking).
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from shared.openapi import Handler
from shared.web import FOR_PEOPLE, Refused, answer

PAGE: Final = Path(__file__).parents[2] / "web" / "index.html"
SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
POLICY: Final = (
    "default-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; connect-src 'self' {}"
)
HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""A Host header that may go into a policy; the client chooses it."""


class Service(NamedTuple):
    """Where browsers find it: at the URL, else at its port on the host of this service's URL."""

    url: str | None
    port: int


class Others(NamedTuple):
    """Services that the page calls: ingest takes users' commands, scoring explains scores."""

    ingest: Service = Service(None, 8081)
    scoring: Service = Service(None, 8083)


AS_USUAL: Final = Others()


def pages(others: Others) -> Mapping[str, Handler]:
    """By path."""
    return {"/": _page(others), "/front.json": _settings(others)}


def _page(others: Others) -> Handler:
    """The page at `/`."""

    async def page(request: web.Request) -> web.StreamResponse:
        found = [_found(request, each) for each in others]
        origins = " ".join(dict.fromkeys(_origin(url) for url in found if url))
        headers = FOR_PEOPLE | {
            "Content-Security-Policy": POLICY.format(_digest(PAGE.read_bytes()), origins),
            # Else browsers use its age, and keep it for days after a deployment.
            hdrs.CACHE_CONTROL: "no-cache",
        }
        return web.FileResponse(PAGE, headers=headers)

    return page


def _digest(page: bytes) -> str:
    """Of the script in it, in the form of a policy."""
    script = SCRIPT.search(page)
    content = script[1] if script is not None else b""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _settings(others: Others) -> Handler:
    async def settings(request: web.Request) -> web.StreamResponse:
        ingest, scoring = (_found(request, each) for each in others)
        if ingest is None or scoring is None:
            raise Refused(400, "bad_request", "The Host header names no host.")
        return answer({"ingestUrl": ingest, "scoringUrl": scoring})

    return settings


def _found(request: web.Request, service: Service) -> str | None:
    if service.url is not None:
        return service.url.rstrip("/")
    host = HOST.fullmatch(request.headers.get(hdrs.HOST, ""))
    return f"{request.scheme}://{host[1]}:{service.port}" if host else None


def _origin(url: str) -> str:
    """A URL with a path would allow that address only, and nothing below it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
