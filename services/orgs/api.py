"""The orgs endpoints: find or create an organization, and show one."""

from collections.abc import Sequence

from aiohttp import web

from services.orgs import answers, details
from services.orgs.answers import MatchedOrganization, WantedOrganization
from services.orgs.details_answers import OrganizationDetails
from services.orgs.finding import Finder
from services.orgs.judging.api import JudgingApi
from services.orgs.judging.saying import Judge
from shared import db
from shared.kafka.publisher import Publisher
from shared.openapi import Endpoint, UuidParameter
from shared.web import Refused, answer, body, identity, path_uuid


def endpoints(pool: db.Pool, publisher: Publisher) -> Sequence[Endpoint]:
    finder = Finder(pool, publisher)

    async def find_or_create_organization(request: web.Request) -> web.Response:
        asker = identity(request)
        wanted = await body(request, WantedOrganization)
        found, match = await finder.find_or_create(asker, wanted)
        shown = answers.matched(found, match).model_dump(by_alias=True)
        return answer(shown, status=201 if match.rule == "created" else 200)

    async def get_organization(request: web.Request) -> web.Response:
        asker = identity(request)
        found = await details.by_id(pool, asker.company_id, path_uuid(request))
        if found is None:
            raise Refused(404, "not_found", "There is no such organization.")
        return answer(found.model_dump(by_alias=True))

    return (
        *JudgingApi(pool, Judge(pool, publisher)).endpoints(),
        Endpoint(
            "POST",
            "/api/organizations",
            find_or_create_organization,
            "Find the company's organization by name, or create it",
            {
                200: MatchedOrganization,
                201: MatchedOrganization,
                400: "The body is not as described",
                503: "A dependency is unavailable; retrying is safe",
            },
            body=WantedOrganization,
        ),
        Endpoint(
            "GET",
            "/api/organizations/{id}",
            get_organization,
            "Show an organization; the id of a merged one shows the survivor",
            {
                200: OrganizationDetails,
                400: "The id is not a UUID",
                404: "The company has no such organization",
                503: "A dependency is unavailable",
            },
            path_parameters={"id": UuidParameter("the organization's UUID")},
        ),
    )
