"""The query service's endpoints: what users read."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from services.query import answers, front, pages, reading, stats
from services.query.front import Others
from services.query.generation import View
from services.query.live.assembly import Live
from services.query.pages import user_of
from services.query.parts import NO_ROOM, UNCHANGED, Parts
from services.query.request import ContactQuery, ListQuery, OrganizationsQuery
from services.query.searching import endpoints as search
from services.query.stats import StatsQuery, StatsRequest
from shared import app as shared_app
from shared.app import Ping
from shared.auth import Authenticator
from shared.openapi import Endpoint, Handler, UuidParameter
from shared.web import Refused, answer, identity, path_uuid, query

TITLE: Final = "My-500 query"


def endpoints(parts: Parts) -> list[Endpoint]:
    ask_contacts = pages.remembering(lambda request: query(request, ListQuery).request())
    ask_organizations = pages.remembering(
        lambda request: query(request, OrganizationsQuery).request()
    )
    my_500, organizations, numbers = "/api/my-500", "/api/organizations", "/api/stats"
    out_of_bounds = "A parameter is unknown or out of bounds"
    refusals = {**UNCHANGED, 400: out_of_bounds, **NO_ROOM}
    return [
        Endpoint(
            "GET",
            my_500,
            pages.cached(
                parts,
                View.CONTACTS,
                my_500,
                ask_contacts,
                reading.my_500,
                tell_status=answers.sync_status,
            ),
            "The user's contacts, in the order in which to talk to them",
            {200: answers.ContactsPage, **refusals},
            query=ListQuery,
            beside=answers.Beside,
        ),
        Endpoint(
            "GET",
            "/api/contacts/{id}",
            _contact(parts),
            "One of the user's contacts; admins may read any contact of the company",
            {
                200: answers.Contact,
                400: "The id is not a UUID, or a parameter is unknown or out of bounds",
                404: "The user has no such contact",
                **NO_ROOM,
            },
            query=ContactQuery,
            path_parameters={"id": UuidParameter("the contact's id")},
        ),
        Endpoint(
            "GET",
            organizations,
            pages.cached(
                parts, View.OVERVIEW, organizations, ask_organizations, reading.organizations
            ),
            "The organizations of the user's contacts, by total number of contacts",
            {200: answers.OrganizationsPage, **refusals},
            query=OrganizationsQuery,
            beside=answers.Beside,
        ),
        Endpoint(
            "GET",
            numbers,
            pages.cached(
                parts,
                View.OVERVIEW,
                numbers,
                _ask_stats,
                stats.stats,
                tell_status=stats.sync_numbers,
            ),
            "The user's statistics",
            {200: stats.Stats, **refusals},
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
        query(request, ContactQuery)
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
    others: Others = front.AS_USUAL,
) -> web.Application:
    served = endpoints(parts)
    if live is not None:
        served = [*map(live.with_after, served), *live.endpoints()]
        authenticator.saw = live.sessions.saw
    return shared_app.application(
        served,
        title=TITLE,
        pings=pings,
        authenticator=authenticator,
        pages=front.pages(others),
    )
