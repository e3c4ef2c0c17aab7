"""The endpoints of the sync and, for admins, of the connection to Pipedrive."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson
from aiohttp import web

from services.ingest import outages
from services.ingest.sync import answers, connecting, connection_store, hooks, sync_store
from services.ingest.sync.connecting import Connecting, Store
from services.ingest.sync.connection_store import Link
from services.ingest.sync.steps import Mode
from shared.auth import Identity
from shared.errors import Unavailable
from shared.openapi import Endpoint, UuidParameter
from shared.pipedrive.budget import Budget
from shared.pipedrive.errors import NotConnected, PipedriveRefused
from shared.web import Refused, answer, body, identity, path_uuid, raw

SHOWN: Final = 50
REPORTED_S: Final = 300.0
"""Pipedrive charges twelve tokens for the webhook's state: too much for each page reload."""
NOT_ADMIN: Final = "Only an admin may do this"
NOT_CONNECTED: Final = "The tenants file has no API token for the company"
RUNNING: Final = "A sync is unfinished: its id is in `data`; or the company is not connected"
AWAY: Final = {503: "Postgres, Redis or Pipedrive is unavailable"}


@dataclass(frozen=True, slots=True)
class SyncApi:
    """`store` waits a moment for its tables, then raises `Unavailable`."""

    store: Store
    budget: Budget
    connecting: Connecting

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/api/sync",
                self.ask_for_sync,
                "Sync what changed in Pipedrive or, as an admin, everything",
                {
                    202: answers.Asked,
                    400: "The body is not as described",
                    403: NOT_ADMIN,
                    409: RUNNING,
                    **AWAY,
                },
                body=answers.Request,
                needs_body=False,
            ),
            Endpoint(
                "GET",
                "/api/sync",
                self.syncs,
                "The company's latest syncs, newest first",
                {200: answers.SyncsTold, **AWAY},
            ),
            Endpoint(
                "GET",
                "/api/sync/{id}",
                self.sync,
                "One sync: its progress and what it found",
                {
                    200: answers.SyncTold,
                    400: "The id is not a UUID, or a parameter is unknown",
                    404: "The company has no such sync",
                    **AWAY,
                },
                path_parameters={"id": UuidParameter("the sync's id")},
            ),
            Endpoint(
                "POST",
                "/api/connection",
                self.connect,
                "Register our webhook at Pipedrive and start a full sync",
                {
                    202: answers.Connected,
                    400: "No URL is known at which Pipedrive reaches this service",
                    403: NOT_ADMIN,
                    409: NOT_CONNECTED,
                    **AWAY,
                },
                body=answers.ConnectRequest,
                needs_body=False,
            ),
            Endpoint(
                "GET",
                "/api/connection",
                self.connection,
                "The webhook as Pipedrive reports it, the last event, and today's tokens",
                {200: answers.ConnectionTold, **AWAY},
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
            raise Refused(409, "not_connected", why.sentence) from why
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
        sync_id = path_uuid(request)
        async with self.store() as conn:
            row = await sync_store.one(conn, company_id, sync_id)
        if row is None:
            raise Refused(404, "not_found", "There is no such sync.")
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
            raise Refused(400, "no_public_url", str(why)) from why
        except NotConnected as why:
            raise Refused(409, "not_connected", why.sentence) from why
        except PipedriveRefused as why:
            raise Refused(409, "pipedrive_refuses", why.sentence) from why
        except Unavailable as outage:
            raise outages.told(outage) or outage from outage
        return answer(made.model_dump(by_alias=True), status=202)

    async def connection(self, request: web.Request) -> web.Response:
        company_id = identity(request).company_id
        async with self.store() as conn:
            link = await connection_store.link(conn, company_id)
            last = await sync_store.last_completed(conn, company_id)
            is_to_ask = await connection_store.is_to_ask(conn, company_id, REPORTED_S)
        if is_to_ask and link is not None and link.hook_id is not None:
            link = await self._asked(company_id, link.hook_id)
        usage = await self.budget.usage(company_id)
        return answer(answers.connection(link, usage, last))

    async def _asked(self, company_id: int, hook_id: int) -> Link | None:
        """The connection with the webhook's present state in Pipedrive, or why that is unknown."""
        report, trouble = None, ""
        try:
            report = await hooks.reported(self.connecting.parts.clients.of(company_id), hook_id)
        except Unavailable as why:
            trouble = f"The webhook's state could not be read: {why}"
        except PipedriveRefused as why:
            trouble = why.sentence
        async with self.store() as conn:
            if report is not None:
                await connection_store.keep_report(conn, company_id, hook_id, report)
            else:
                await connection_store.keep_trouble(conn, company_id, hook_id, trouble)
            return await connection_store.link(conn, company_id)


def _require_admin(user: Identity) -> None:
    if not user.is_admin:
        raise Refused(403, "forbidden", "Only an admin may do this.")


def _conflict(sync_id: UUID) -> web.Response:
    refused = {
        "success": False,
        "error": "A sync of this company is not finished yet.",
        "code": "sync_running",
        "data": {"id": sync_id},
    }
    return raw(orjson.dumps(refused), 409)
