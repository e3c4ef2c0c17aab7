"""The commands' endpoints, and what makes asking twice do once.

Rule 1: an `Idempotency-Key` names one request of one user for 24 hours: its answer is repeated,
        with `Idempotency-Replayed: true`, and another request under it is refused.
Rule 2: without one, a request that may have been carried out unheard is still gone on with when
        the same user asks for the same again; and one that is under way is waited for, since its
        process may have died. Who wants the same twice asks again after the answer, or by keys.
Rule 3: what was refused was not done, so its key is free again: unless a try before it may have
        been carried out, which the next one is to find.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import uuid4

import orjson
from aiohttp import web
from pydantic import BaseModel

from services.ingest.commands import command_store, refusals
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
from services.ingest.commands.command_store import Another, Answered, Asker, Begun, Busy
from services.ingest.commands.doing import Caller, Doing
from services.ingest.preparing import Prepared
from shared import db
from shared.errors import Unavailable
from shared.observability import COMMANDS
from shared.openapi import Endpoint, UuidParameter
from shared.pipedrive.errors import Refused as PipedriveRefused
from shared.web import Refused, body, identity, path_uuid, query, raw

log = logging.getLogger(__name__)

BodyT = TypeVar("BodyT", bound=BaseModel)
Work = Callable[[Caller], Awaitable[BaseModel]]

LONGEST_KEY: Final = 255
WAITED_S: Final = 3.0
POLL_S: Final = 0.05
CREATED: Final = 201
OK: Final = 200

SAFE: Final = "Honours the header Idempotency-Key for 24 hours."
TROUBLE: Final = {
    400: "The body is not as described",
    401: "No valid token",
    403: "Pipedrive does not allow it",
    409: "The same request is being carried out, or the company is not connected",
    422: "Pipedrive refuses it, in its own words; or the key was used for something else",
    503: "A dependency is away, or Pipedrive gave no answer; asking again is safe",
}
OF_OURS: Final = {status: TROUBLE[status] for status in (400, 401, 409, 422, 503)}


@dataclass(frozen=True, slots=True)
class Commands:
    pool: db.Pool
    doing: Doing
    prepared: Prepared

    def endpoints(self) -> list[Endpoint]:
        no_contact = {404: "The user has no such contact"}
        return [
            Endpoint(
                "POST",
                "/api/contacts",
                self.make_contact,
                f"Make a contact in Pipedrive, owned by the caller. {SAFE}",
                {201: MadeContact, **TROUBLE, 404: "There is no such organization"},
                body=WantedContact,
            ),
            Endpoint(
                "POST",
                "/api/activities",
                self.make_activity,
                f"Make an activity in Pipedrive, about a contact of the caller's. {SAFE}",
                {201: MadeActivity, **TROUBLE, **no_contact},
                query=AfterQuery,
                body=WantedActivity,
            ),
            Endpoint(
                "PATCH",
                "/api/contacts/{id}",
                self.change_contact,
                f"Put a contact into the campaign, or take it out. {SAFE}",
                {200: Campaign, **OF_OURS, **no_contact},
                query=AfterQuery,
                body=Membership,
                path_parameters={"id": UuidParameter("the contact's id")},
            ),
            Endpoint(
                "POST",
                "/api/campaign",
                self.change_campaign,
                f"Put many contacts into the campaign, or take them out. {SAFE}",
                {200: Campaign, **OF_OURS, **no_contact},
                query=AfterQuery,
                body=Memberships,
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
        identity(request)  # who may not ask learns nothing about their body
        return await body(request, model)

    async def _once(
        self, request: web.Request, asked: BaseModel, status: int, work: Work
    ) -> web.Response:
        await self.prepared.has_tables("the commands")
        user = identity(request)
        after = query(request, AfterQuery).after
        asker = Asker(user.company_id, user.user_id)
        digest = _digest(request, asked)
        begun = await self._begin(asker, _key(request), digest)
        match begun:
            case Answered():
                COMMANDS.labels(_name(request), "repeated").inc()
                response = raw(begun.answer, begun.status)
                response.headers["Idempotency-Replayed"] = "true"
                return response
            case Busy():
                raise refusals.in_progress()
            case Another():
                raise refusals.another()
            case Begun():
                token = request.headers["Authorization"]
                whose = asker.company_id, asker.user_id
                caller = Caller(*whose, token, begun.key, digest, after)
                answered = await self._worked(request, asker, caller, status, work)
                return raw(answered.answer, answered.status)

    async def _begin(
        self, asker: Asker, key: str | None, digest: bytes
    ) -> Begun | Answered | Busy | Another:
        with db.errors():
            if key is None:
                unanswered = await command_store.unanswered(self.pool, asker, digest)
                key = unanswered or f"-{uuid4()}"
            deadline = asyncio.get_running_loop().time() + WAITED_S
            while True:
                begun = await command_store.begin(self.pool, asker, key, digest)
                if not isinstance(begun, Busy):
                    return begun
                if asyncio.get_running_loop().time() > deadline:
                    return begun
                await asyncio.sleep(POLL_S)

    async def _worked(
        self, request: web.Request, asker: Asker, caller: Caller, status: int, work: Work
    ) -> Answered:
        """Raises:
        Refused: what the trouble means to the caller.
        """
        try:
            done = await work(caller)
        except (PipedriveRefused, Refused) as refused:
            COMMANDS.labels(_name(request), "refused").inc()
            await self._quietly(command_store.drop, asker, caller.key)
            if isinstance(refused, Refused):
                raise
            raise refusals.of_pipedrive(refused) from refused
        except Unavailable as outage:
            COMMANDS.labels(_name(request), "unavailable").inc()
            await self._quietly(command_store.let_go, asker, caller.key)
            raise refusals.of_outage(outage) or outage from outage
        except BaseException:
            await self._quietly(command_store.let_go, asker, caller.key)
            raise
        answer = {"success": True, "data": done.model_dump(mode="json", by_alias=True)}
        answered = Answered(status, orjson.dumps(answer))
        COMMANDS.labels(_name(request), "done").inc()
        await self._keep(asker, caller.key, answered)
        return answered

    async def _keep(self, asker: Asker, key: str, answered: Answered) -> None:
        """What was done was done, even if the answer cannot be kept for a second time."""
        try:
            with db.errors():
                await command_store.answer(self.pool, asker, key, answered)
        except Unavailable as outage:
            log.warning("command_answer_not_kept", extra={"reason": str(outage)})

    async def _quietly(
        self, tell: Callable[[db.Pool, Asker, str], Awaitable[None]], asker: Asker, key: str
    ) -> None:
        """What is being raised already says more than that the store is away too."""
        try:
            with db.errors():
                await tell(self.pool, asker, key)
        except Unavailable as outage:
            log.warning("command_left_open", extra={"reason": str(outage)})


def _name(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else ''}"


def _digest(request: web.Request, asked: BaseModel) -> bytes:
    whole = f"{request.method} {request.path} {asked.model_dump_json()}"
    return hashlib.blake2b(whole.encode(), digest_size=16).digest()


def _key(request: web.Request) -> str | None:
    """Raises:
    Refused: 400.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key or len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        sentence = f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters."
        raise Refused(400, "bad_request", sentence)
    return f"+{key}"
