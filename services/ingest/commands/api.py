"""The commands' endpoints. `idempotency` makes retries safe."""

from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from services.ingest.commands.answers import (
    AfterQuery,
    Campaign,
    MadeActivity,
    MadeContact,
    Membership,
    Memberships,
    WantedActivity,
    WantedContact,
)
from services.ingest.commands.doing import Doing
from services.ingest.commands.idempotency import LONGEST_KEY, Idempotency, Work
from services.ingest.preparing import Prepared
from shared.openapi import Endpoint, UuidParameter
from shared.web import body, identity, path_uuid

BodyT = TypeVar("BodyT", bound=BaseModel)

CREATED: Final = 201
OK: Final = 200

SAFE: Final = "Honours the Idempotency-Key header for 24 hours."
TROUBLE: Final = {
    400: "The body is not as described",
    403: "Pipedrive does not allow it",
    409: "The same request is in progress, or the company is not connected",
    422: "Pipedrive refuses it, in its own words; or the key was used for something else",
    503: "A dependency is unavailable, or Pipedrive gave no answer; retrying is safe",
}
KEYED: Final = {
    "Idempotency-Key": {
        "type": "string",
        "pattern": f"^[ -~]{{1,{LONGEST_KEY}}}$",
        "description": "identifies one request of the user for 24 hours: a retry under the same "
        "key gets the same answer, and nothing is done twice",
    }
}
REPLAYED: Final = {"Idempotency-Replayed": "true where the answer is that of an earlier request"}
OF_OURS: Final = {status: TROUBLE[status] for status in (400, 409, 422, 503)}


@dataclass(frozen=True, slots=True)
class Commands:
    doing: Doing
    idempotency: Idempotency
    prepared: Prepared

    def endpoints(self) -> list[Endpoint]:
        no_contact = {404: "The user has no such contact"}
        return [
            Endpoint(
                "POST",
                "/api/contacts",
                self.make_contact,
                f"Create a contact in Pipedrive, owned by the caller. {SAFE}",
                {201: MadeContact, **TROUBLE, 404: "There is no such organization"},
                body=WantedContact,
                headers=KEYED,
                told=REPLAYED,
            ),
            Endpoint(
                "POST",
                "/api/activities",
                self.make_activity,
                f"Create an activity in Pipedrive for one of the caller's contacts. {SAFE}",
                {201: MadeActivity, **TROUBLE, **no_contact},
                query=AfterQuery,
                body=WantedActivity,
                headers=KEYED,
                told=REPLAYED,
            ),
            Endpoint(
                "PATCH",
                "/api/contacts/{id}",
                self.change_contact,
                f"Add a contact to the campaign, or remove it. {SAFE}",
                {200: Campaign, **OF_OURS, **no_contact},
                query=AfterQuery,
                body=Membership,
                headers=KEYED,
                told=REPLAYED,
                path_parameters={"id": UuidParameter("the contact's id")},
            ),
            Endpoint(
                "POST",
                "/api/campaign",
                self.change_campaign,
                f"Add many contacts to the campaign, or remove them. {SAFE}",
                {200: Campaign, **OF_OURS, **no_contact},
                query=AfterQuery,
                body=Memberships,
                headers=KEYED,
                told=REPLAYED,
            ),
        ]

    async def make_contact(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, WantedContact)
        return await self._once(
            request, asked, CREATED, lambda caller: self.doing.make_contact(caller, asked)
        )

    async def make_activity(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, WantedActivity)
        return await self._once(
            request, asked, CREATED, lambda caller: self.doing.make_activity(caller, asked)
        )

    async def change_contact(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, Membership)
        contact_ids, added = [path_uuid(request)], asked.added_to_campaign
        return await self._once(
            request,
            asked,
            OK,
            lambda caller: self.doing.set_campaign(caller, contact_ids, added=added),
        )

    async def change_campaign(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, Memberships)
        added = asked.added_to_campaign
        return await self._once(
            request,
            asked,
            OK,
            lambda caller: self.doing.set_campaign(caller, asked.contact_ids, added=added),
        )

    async def _asked(self, request: web.Request, model: type[BodyT]) -> BodyT:
        identity(request)  # no validation errors for unauthenticated callers
        return await body(request, model)

    async def _once(
        self, request: web.Request, asked: BaseModel, status: int, work: Work
    ) -> web.Response:
        await self.prepared.has_tables("the commands")
        return await self.idempotency.once(request, asked, status, work)
