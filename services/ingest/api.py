"""The webhook door.

Rule 1: credentials are checked before the body is read.
Rule 2: 2xx means that the event is stored: on all replicas of Kafka, or on the local disk.
Rule 3: an authenticated sender is never refused for a body we do not understand: that becomes a
        dead letter. Pipedrive bans a webhook after ten failed first tries.
"""

from dataclasses import dataclass
from typing import Any, assert_never

import orjson
from aiohttp import hdrs, web
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict

from services.ingest.intake import Foreign, Intake, Outcome, PutAside, Stored
from shared import ready
from shared.encodings import Undecodable
from shared.errors import Unavailable
from shared.events import MODELS
from shared.json_model import Json
from shared.observability import WEBHOOKS
from shared.openapi import Endpoint
from shared.tenants import Tenant, Tenants
from shared.web import RETRY_AFTER_S, Refused, decoded, raw, received

REALM = 'Basic realm="my500", charset="UTF-8"'
UNREAD = "unknown"
COUNTERS: dict[tuple[str, str], Counter] = {}
"""Cached: the library takes longer to look a counter up by its labels than to count."""


class Accepted(Json):
    """The event is stored."""

    event_id: str


class Sent(BaseModel):
    """What Pipedrive sends: version 2 carries `data`, version 1 `current`. No body is rejected:
    one that cannot be read becomes a dead letter.
    """

    model_config = ConfigDict(extra="allow")

    meta: dict[str, Any]
    data: Any = None
    current: Any = None
    previous: Any = None


@dataclass(frozen=True, slots=True)
class Door:
    tenants: Tenants
    intake: Intake
    max_body_bytes: int

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/webhooks/pipedrive",
                self.receive_webhook,
                "Receive a Pipedrive webhook, version 1 or 2",
                {
                    200: Accepted,
                    400: "The connection closed before the whole body arrived",
                    401: "The credentials are missing or wrong",
                    403: "The credentials are not those of the body's company",
                    503: "The event could not be stored",
                },
                body=Sent,
                auth="basic",
            )
        ]

    async def receive_webhook(self, request: web.Request) -> web.StreamResponse:
        tenant = self._tenant(request)
        # A body that has arrived in full needs no await.
        stream = request.content
        whole = stream.is_eof() and stream.exception() is None
        content = stream.read_nowait() if whole else await self._received(request)
        content = self._decoded(request, content)
        if len(content) > self.max_body_bytes:
            raise self._too_large()
        try:
            outcome = await self.intake.store(content, company_id=tenant.company_id)
        except Unavailable as outage:
            _count("unavailable")
            sentence = f"The event could not be stored: {outage}. Send it again soon."
            raise Refused(503, "unavailable", sentence, Retry_After=RETRY_AFTER_S) from outage
        return _answer(outcome, request)

    def _tenant(self, request: web.Request) -> Tenant:
        tenant = self.tenants.authenticate(request.headers.get(hdrs.AUTHORIZATION))
        if tenant is None:
            _count("unauthorized")
            raise Refused(
                401,
                "unauthorized",
                "The webhook's user and password are missing or wrong.",
                WWW_Authenticate=REALM,
            )
        return tenant

    async def _received(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > self.max_body_bytes:
            raise self._too_large()
        try:
            return await received(request)
        except web.HTTPRequestEntityTooLarge as error:
            raise self._too_large() from error
        except ConnectionResetError as error:
            raise Refused(
                400, "incomplete", "The connection closed before the whole body arrived."
            ) from error
        except web.RequestPayloadError:
            # The chunked encoding is broken: there are no bytes to dead-letter.
            return b""

    def _decoded(self, request: web.Request, content: bytes) -> bytes:
        try:
            return decoded(request, content)
        except web.HTTPRequestEntityTooLarge as error:
            raise self._too_large() from error
        except Undecodable:
            return content  # dead-lettered as received

    def _too_large(self) -> Refused:
        _count("too_large")
        return Refused(413, "too_large", f"The body is larger than {self.max_body_bytes} bytes.")


def _answer(outcome: Outcome, request: web.Request) -> web.StreamResponse:
    match outcome:
        case Stored():
            _count("accepted", outcome.entity)
        case PutAside():
            _count("dead_letter")
        case Foreign():
            _count("foreign_company", outcome.entity)
            sentence = "These credentials are not those of the body's company."
            raise Refused(403, "foreign_company", sentence)
        case _:
            assert_never(outcome)
    body = orjson.dumps({"success": True, "data": {"eventId": outcome.event_id}})
    return ready.Ready(body) if ready.suits(request) else raw(body)


def _count(outcome: str, entity: str = UNREAD) -> None:
    counter = COUNTERS.get((outcome, entity))
    if counter is None:
        known = entity if entity in MODELS or entity == UNREAD else "other"
        counter = WEBHOOKS.labels(outcome, known)
        if known == entity:  # the set of entities is open: only ours are cached
            COUNTERS[outcome, entity] = counter
    counter.inc()
