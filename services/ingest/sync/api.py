"""What users ask of the sync, and admins of the connection to Pipedrive."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from aiohttp import web

from services.ingest.sync import answers, connecting, connection_store, hooks, sync_store
from services.ingest.sync.connecting import Connecting, Store
from services.ingest.sync.connection_store import Link
from services.ingest.sync.steps import Mode
from shared.auth import Identity
from shared.errors import Unavailable
from shared.openapi import Endpoint
from shared.pipedrive.budget import Budget
from shared.pipedrive.errors import NotConnected, Refused
from shared.web import Refused as Refusal
from shared.web import answer, body, identity, raw

SHOWN: Final = 50
REPORTED_S: Final = 20.0
"""Pipedrive takes ten tokens to say how the webhooks are: not for every reload of a page."""
UNSIGNED: Final = "There is no valid token"
NOT_ADMIN: Final = "Only an admin may do this"
NOT_CONNECTED: Final = "The tenants file has no API token of the company"
RUNNING: Final = "A sync is open already: its id is in `data`"


class Report(NamedTuple):
    """The company's webhooks, when Pipedrive told so by the steady clock, and which of them was
    ours then.
    """

    at: float
    ours: int | None
    hooks: list[dict[str, Any]]

    def serves(self, link: Link) -> bool:
        return self.ours == link.hook_id and self.at >= time.monotonic() - REPORTED_S


@dataclass(frozen=True, slots=True)
class SyncApi:
    """`store` raises `Unavailable` until its tables are there."""

    store: Store
    budget: Budget
    connecting: Connecting
    reported: dict[int, Report] = field(default_factory=dict)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/api/sync",
                self.ask_for_sync,
                "Read from Pipedrive what changed, or as an admin everything",
                {202: answers.Asked, 400: "The body", 401: UNSIGNED, 403: NOT_ADMIN, 409: RUNNING},
                body=answers.Request,
            ),
            Endpoint(
                "GET",
                "/api/sync",
                self.syncs,
                "The company's latest synchronisations, newest first",
                {200: answers.SyncsTold, 401: UNSIGNED},
            ),
            Endpoint(
                "GET",
                "/api/sync/{id}",
                self.sync,
                "One synchronisation: how far it is, and what it found",
                {200: answers.SyncTold, 401: UNSIGNED, 404: "The company has no such sync"},
                path_parameters={"id": "the sync's id"},
            ),
            Endpoint(
                "POST",
                "/api/connection",
                self.connect,
                "Register our webhook at Pipedrive and begin a full sync",
                {
                    202: answers.Connected,
                    400: "Nothing says where Pipedrive reaches this service",
                    401: UNSIGNED,
                    403: NOT_ADMIN,
                    409: NOT_CONNECTED,
                },
                body=answers.ConnectRequest,
            ),
            Endpoint(
                "GET",
                "/api/connection",
                self.connection,
                "The webhook as Pipedrive reports it, the last event, and today's tokens",
                {200: answers.ConnectionTold, 401: UNSIGNED},
            ),
        ]

    async def ask_for_sync(self, request: web.Request) -> web.Response:
        user = identity(request)
        asked = (
            await body(request, answers.Request) if request.can_read_body else answers.Request()
        )
        if asked.mode is Mode.FULL:
            _require_admin(user)
        try:
            self.connecting.parts.clients.of(user.company_id)
        except NotConnected as why:
            raise Refusal(409, "not_connected", why.sentence) from why
        async with self.store() as conn:
            cause = f"user {user.user_id}"
            found, is_own = await sync_store.ask(conn, user.company_id, asked.mode, cause)
        if is_own:
            return answer({"id": found}, status=202)
        return _conflict(found)

    async def syncs(self, request: web.Request) -> web.Response:
        company_id = identity(request).company_id
        async with self.store() as conn:
            rows = await sync_store.newest(conn, company_id, SHOWN)
        now = datetime.now(UTC)
        return answer({"syncs": [answers.sync(row, now) for row in rows]})

    async def sync(self, request: web.Request) -> web.Response:
        company_id = identity(request).company_id
        try:
            sync_id = UUID(request.match_info["id"])
        except ValueError as error:
            raise Refusal(404, "not_found", "There is no such sync.") from error
        async with self.store() as conn:
            row = await sync_store.one(conn, company_id, sync_id)
        if row is None:
            raise Refusal(404, "not_found", "There is no such sync.")
        return answer(answers.sync(row, datetime.now(UTC)))

    async def connect(self, request: web.Request) -> web.Response:
        user = identity(request)
        _require_admin(user)
        asked = (
            await body(request, answers.ConnectRequest)
            if request.can_read_body
            else answers.ConnectRequest()
        )
        try:
            made = await self.connecting.connect(user.company_id, asked.url)
        except connecting.NoUrl as why:
            raise Refusal(400, "no_public_url", str(why)) from why
        except NotConnected as why:
            raise Refusal(409, "not_connected", why.sentence) from why
        except Refused as why:
            raise Refusal(409, "pipedrive_refuses", why.sentence) from why
        return answer(made.model_dump(by_alias=True), status=202)

    async def connection(self, request: web.Request) -> web.Response:
        company_id = identity(request).company_id
        async with self.store() as conn:
            link = await connection_store.link(conn, company_id)
            last = await sync_store.last_completed(conn, company_id)
        told, problem = await self._hook(company_id, link)
        usage = await self.budget.usage(company_id)
        return answer(answers.connection(link, told, problem, usage, last))

    async def _hook(
        self, company_id: int, link: Link | None
    ) -> tuple[answers.HookTold | None, str | None]:
        """As Pipedrive reports it, and what is wrong with it."""
        if link is None or link.hook_url is None:
            return None, "No webhook of ours has been registered: connect the company."
        known = self.reported.get(company_id)
        if known is None or not known.serves(link):
            try:
                shown = await hooks.listed(self.connecting.parts.clients.of(company_id))
            except (Unavailable, Refused) as why:
                return None, f"Pipedrive does not tell: {why}"
            known = Report(time.monotonic(), link.hook_id, shown)
            self.reported[company_id] = known
        return _reported(known.hooks, link)


def _reported(
    shown: list[dict[str, Any]], link: Link
) -> tuple[answers.HookTold | None, str | None]:
    for each in shown:
        if each.get("id") == link.hook_id:
            told = answers.hook(each)
            is_well = told.is_active and told.remove_time is None
            return told, None if is_well else "Pipedrive has switched the webhook off."
    return None, "Pipedrive has deleted the webhook; it will be registered anew."


def _require_admin(user: Identity) -> None:
    if not user.is_admin:
        raise Refusal(403, "forbidden", "Only an admin may do this.")


def _conflict(sync_id: UUID) -> web.Response:
    refused = {
        "success": False,
        "error": "A sync of this company is open already.",
        "code": "sync_running",
        "data": {"id": sync_id},
    }
    return raw(orjson.dumps(refused), 409)
