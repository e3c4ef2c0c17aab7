"""The addresses of the query service: what users read, and the page that shows it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from services.query import answers, pages, reading, stats
from services.query.generation import View
from services.query.live.assembly import Live
from services.query.pages import user_of
from services.query.parts import NO_ROOM, UNCHANGED, Parts
from services.query.request import ListQuery, OrganizationsQuery
from services.query.searching import endpoints as search
from services.query.stats import StatsQuery, StatsRequest
from shared import app as shared_app
from shared.app import Ping
from shared.auth import Authenticator
from shared.openapi import Endpoint, Handler, UuidParameter
from shared.web import Refused, answer, identity, path_uuid, query

TITLE: Final = "My-500 query"
FRONT: Final = Path(__file__).parents[2] / "web" / "index.html"
POLICY: Final = (
    "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)
INGEST_PORT: Final = 8081
HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""A Host header that may stand in a policy; whoever asks chooses it."""


def endpoints(parts: Parts) -> list[Endpoint]:
    ask_contacts = pages.remembering(lambda request: query(request, ListQuery).request())
    ask_organizations = pages.remembering(
        lambda request: query(request, OrganizationsQuery).request()
    )
    out_of_bounds = "A parameter is not known or out of bounds"
    return [
        Endpoint(
            "GET",
            "/api/my-500",
            pages.cached(
                parts,
                View.CONTACTS,
                "/api/my-500",
                ask_contacts,
                reading.my_500,
                tell_status=answers.sync_status,
            ),
            "The user's contacts; whom to talk to next comes first",
            {200: answers.ContactsPage, **UNCHANGED, 400: out_of_bounds, **NO_ROOM},
            query=ListQuery,
            beside=answers.Beside,
        ),
        Endpoint(
            "GET",
            "/api/contacts/{id}",
            _contact(parts),
            "One contact of the user's; an admin reads any contact of the company",
            {
                200: answers.Contact,
                400: "The id is not a UUID",
                404: "The user has no such contact",
                **NO_ROOM,
            },
            path_parameters={"id": UuidParameter("the contact's id")},
        ),
        Endpoint(
            "GET",
            "/api/organizations",
            pages.cached(
                parts,
                View.OVERVIEW,
                "/api/organizations",
                ask_organizations,
                reading.organizations,
            ),
            "The organizations of the user's contacts; most contacts of whoever first",
            {
                200: answers.OrganizationsPage,
                **UNCHANGED,
                400: out_of_bounds,
                **NO_ROOM,
            },
            query=OrganizationsQuery,
            beside=answers.Beside,
        ),
        Endpoint(
            "GET",
            "/api/stats",
            pages.cached(
                parts,
                View.OVERVIEW,
                "/api/stats",
                _ask_stats,
                stats.stats,
                tell_status=stats.sync_numbers,
            ),
            "The user's numbers",
            {200: stats.Stats, **UNCHANGED, 400: out_of_bounds, **NO_ROOM},
            query=StatsQuery,
            beside=answers.Beside,
        ),
        *search.endpoints(parts),
    ]


def _ask_stats(request: web.Request) -> tuple[StatsRequest, str]:
    query(request, StatsQuery)
    asked = stats.asked_now()
    return asked, asked.name


def _contact(parts: Parts) -> Handler:
    async def contact(request: web.Request) -> web.Response:
        user = user_of(request)
        contact_id = path_uuid(request)
        is_admin = identity(request).is_admin
        async with parts.snapshot(user) as conn:
            found = await reading.contact(conn, user, contact_id, of_anyone=is_admin)
        if found is None:
            raise Refused(404, "not_found", "You have no such contact.")
        return answer(found)

    return contact


def application(
    parts: Parts,
    pings: Mapping[str, Ping],
    authenticator: Authenticator,
    live: Live | None = None,
    *,
    ingest_url: str | None = None,
) -> web.Application:
    served = endpoints(parts)
    if live is not None:
        served = [*map(live.attended, [*served, *live.endpoints()])]
    return shared_app.application(
        served,
        title=TITLE,
        pings=pings,
        authenticator=authenticator,
        pages={"/": _front(ingest_url), "/front.json": _front_settings(ingest_url)},
    )


def _front(ingest_url: str | None) -> Handler:
    """The page at `/`. It may speak to ingest, too, where what users do is asked for."""

    async def front(request: web.Request) -> web.StreamResponse:
        policy = f"{POLICY} {_origin(_ingest(request, ingest_url) or '')}"
        return web.FileResponse(FRONT, headers={"Content-Security-Policy": policy})

    return front


def _front_settings(ingest_url: str | None) -> Handler:
    async def settings(request: web.Request) -> web.StreamResponse:
        found = _ingest(request, ingest_url)
        if found is None:
            raise Refused(400, "bad_request", "The Host header names no host.")
        return answer({"ingestUrl": found})

    return settings


def _ingest(request: web.Request, url: str | None) -> str | None:
    if url is not None:
        return url.rstrip("/")
    host = HOST.fullmatch(request.headers.get(hdrs.HOST, ""))
    return f"{request.scheme}://{host[1]}:{INGEST_PORT}" if host else None


def _origin(url: str) -> str:
    """A path in a policy would stand for that address alone, and for none below it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if url else ""
