"""What users read: their list, a contact, their organizations, and the page that shows them.

Rule: a page kept in the cache is answered byte for byte, with a tail that speaks of the request.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from aiohttp import web

from services.query import answers, reading
from services.query.batch import User
from services.query.cache import Cache, Origin, Served
from services.query.reading import Read
from services.query.request import (
    ListQuery,
    ListRequest,
    OrganizationsQuery,
    OrganizationsRequest,
)
from services.query.watch import Watch
from shared import app as shared_app
from shared import db, ready
from shared.app import Health
from shared.auth import Authenticator
from shared.observability import PAGES
from shared.openapi import Endpoint, Handler
from shared.web import JSON_TYPE, Refused, answer, identity, query

TITLE: Final = "My-500 query"
REMEMBERED: Final = 4096
FRONT: Final = Path(__file__).parents[2] / "web" / "index.html"
POLICY: Final = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

Asked = TypeVar("Asked", ListRequest, OrganizationsRequest)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers work with."""

    pool: db.Pool
    cache: Cache
    watch: Watch


class Remembered(OrderedDict[str, tuple[Asked, str]]):
    """What query strings seen lately ask for, and its name: to read one costs more than a hit."""

    def keep(self, text: str, asked: Asked) -> tuple[Asked, str]:
        known = self[text] = asked, asked.name
        if len(self) > REMEMBERED:
            self.popitem(last=False)
        return known


def endpoints(parts: Parts) -> list[Endpoint]:
    unsigned = "There is no valid token"
    out_of_bounds = "A parameter is not known or out of bounds"
    return [
        Endpoint(
            "GET",
            "/api/my-500",
            _my_500(parts),
            "The user's contacts; whom to talk to next comes first",
            {200: answers.ContactsPage, 400: out_of_bounds, 401: unsigned},
            query=ListQuery,
        ),
        Endpoint(
            "GET",
            "/api/contacts/{id}",
            _contact(parts),
            "One contact of the user's; an admin reads any contact of the company",
            {
                200: answers.Contact,
                400: "The id is not a UUID",
                401: unsigned,
                404: "The user has no such contact",
            },
            path_parameters={"id": "the contact's id"},
        ),
        Endpoint(
            "GET",
            "/api/organizations",
            _organizations(parts),
            "The organizations of the user's contacts; most contacts come first",
            {200: answers.OrganizationsPage, 400: out_of_bounds, 401: unsigned},
            query=OrganizationsQuery,
        ),
    ]


def _my_500(parts: Parts) -> Handler:
    remembered: Remembered[ListRequest] = Remembered()

    async def my_500(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        user = _user(request)
        text = request.rel_url.raw_query_string
        known = remembered.get(text)
        asked, name = known or remembered.keep(text, query(request, ListQuery).request())

        async def read() -> Read:
            async with reading.snapshot(parts.pool) as conn:
                return await reading.my_500(conn, user, asked)

        served = await parts.cache.page(user, name, read)
        return _page(request, served, began, stale=parts.watch.away)

    return my_500


def _organizations(parts: Parts) -> Handler:
    remembered: Remembered[OrganizationsRequest] = Remembered()

    async def organizations(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        user = _user(request)
        text = request.rel_url.raw_query_string
        known = remembered.get(text)
        asked, name = known or remembered.keep(text, query(request, OrganizationsQuery).request())

        async def read() -> Read:
            async with reading.snapshot(parts.pool) as conn:
                return await reading.organizations(conn, user, asked)

        served = await parts.cache.page(user, name, read)
        return _page(request, served, began, stale=parts.watch.away)

    return organizations


def _contact(parts: Parts) -> Handler:
    async def contact(request: web.Request) -> web.Response:
        user = _user(request)
        try:
            contact_id = UUID(request.match_info["id"])
        except ValueError as error:
            raise Refused(400, "bad_request", "The id of a contact is a UUID.") from error
        is_admin = identity(request).is_admin
        async with reading.snapshot(parts.pool) as conn:
            found = await reading.contact(conn, user, contact_id, of_anyone=is_admin)
        if found is None:
            raise Refused(404, "not_found", "You have no such contact.")
        return answer(found)

    return contact


def _user(request: web.Request) -> User:
    who = identity(request)
    return User(who.company_id, who.user_id)


_COUNTED: Final = {origin: PAGES.labels(origin.value) for origin in Origin}
_HEADERS: Final = {"Content-Type": JSON_TYPE}


def _page(
    request: web.Request, served: Served, began: float, *, stale: bool
) -> web.StreamResponse:
    _COUNTED[served.origin].inc()
    tail = _tail(served.origin, began, stale=stale)
    if served.etag is None:
        return web.Response(body=served.body + tail, headers=_HEADERS)
    if request.headers.get("If-None-Match") == served.etag:
        return web.Response(status=304, headers={"ETag": served.etag})
    if ready.suits(request):
        return ready.Ready(served.body, tail, etag=served.etag)
    return web.Response(body=served.body + tail, headers={**_HEADERS, "ETag": served.etag})


def _tail(origin: Origin, began: float, *, stale: bool) -> bytes:
    total_ms = (time.perf_counter() - began) * 1000
    hit = origin is Origin.CACHE
    return b',"performance":{"queryTime":%.3f,"cacheHit":%b,"totalTime":%.3f}%b}' % (
        0.0 if hit else total_ms,
        b"true" if hit else b"false",
        total_ms,
        b',"stale":true' if stale else b"",
    )


def application(parts: Parts, health: Health, authenticator: Authenticator) -> web.Application:
    return shared_app.application(
        endpoints(parts),
        title=TITLE,
        health=health,
        authenticator=authenticator,
        pages={"/": front},
    )


async def front(_: web.Request) -> web.StreamResponse:
    """The page at `/`."""
    return web.FileResponse(FRONT, headers={"Content-Security-Policy": POLICY})
