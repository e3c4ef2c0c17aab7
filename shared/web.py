"""How requests are read and answers are written: one format for success, one for refusals.

Rule 1: every answer of ours is JSON: `{"success": true, "data": …}` or
        `{"success": false, "error": "a sentence", "code": "snake_case"}` with the right status.
Rule 2: input is accepted as documented or not at all: unknown names, repeated names and numbers
        not written in digits are refused.
Rule 3: an outage is 503 with Retry-After, a refusal is 4xx with a sentence; only bugs are 500.
Rule 4: an answer is for its caller, and for now: no shared cache may keep it, not even one that
        ignores tokens and goes by URLs alone, as nginx does.
"""

import asyncio
import logging
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from shared import encodings
from shared.auth import Authenticator, Identity, Session, Unauthenticated
from shared.errors import Unavailable
from shared.json_model import Json
from shared.openapi import Handler

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)

AUTHENTICATOR = web.AppKey("authenticator", Authenticator)
LEAVING = web.AppKey("leaving", asyncio.Event)
"""Set once the process stops: each answer is then the last of its connection, and says so."""
READ_S = web.AppKey("read_s", float)
LONGEST_READ_S = 15.0
RETRY_AFTER_S = "2"
JSON_TYPE = "application/json"
NOT_KEPT: Final = {"Cache-Control": "no-store"}
FOR_PEOPLE: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
"""Headers of pages for browsers, and of what these load."""
NO_SUCH_ADDRESS = "no_such_address"
METHOD_NOT_ALLOWED = "method_not_allowed"
NOT_SERVED = frozenset({NO_SUCH_ADDRESS, METHOD_NOT_ALLOWED})
"""Codes for an endpoint that the service does not have: they say nothing about the resource."""


class Nothing(Json):
    """Parameters of an endpoint that has none."""


class Refused(Exception):
    """The request cannot be fulfilled as it is."""

    def __init__(self, status: int, code: str, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def cleaned(text: str) -> str:
    """Request text made acceptable to Postgres: no NUL, and a question mark for invalid characters
    (header bytes that are not UTF-8 arrive as halves of surrogate pairs).
    """
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def answer(data: Any, *, status: int = 200) -> web.Response:
    """A success with plain data; may contain datetimes and UUIDs."""
    return raw(orjson.dumps({"success": True, "data": data}, option=orjson.OPT_UTC_Z), status)


def raw(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type=JSON_TYPE, headers=NOT_KEPT)


def refusal(refused: Refused) -> web.Response:
    body = {"success": False, "error": refused.sentence, "code": refused.code}
    response = raw(orjson.dumps(body), refused.status)
    response.headers.update(refused.headers)
    return response


def identity(request: web.Request) -> Identity:
    """Raises:
    Refused: 401.
    """
    return session(request).identity


def session(request: web.Request) -> Session:
    """Raises:
    Refused: 401.
    Unavailable: it is not known yet which tokens are revoked.
    """
    authenticator, headers = request.app[AUTHENTICATOR], request.headers
    try:
        found = authenticator.session(headers.get("Authorization"))
    except Unauthenticated as error:
        raise Refused(401, "unauthorized", str(error), WWW_Authenticate="Bearer") from error
    if authenticator.saw is not None:
        authenticator.saw(found, headers)
    return found


def query(request: web.Request, model: type[ModelT]) -> ModelT:
    """The query string as `model`.

    Raises:
        Refused: 400, with a sentence that names the parameter.
    """
    given = _parameters(request)
    try:
        return model.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Refused(400, "bad_request", _sentence(error)) from error


def _parameters(request: web.Request) -> dict[str, str]:
    """Raises:
    Refused: 400, one is given twice, so it is ambiguous.
    """
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in found:
            raise Refused(400, "bad_request", f"'{name}' is given more than once.")
        found[name] = value
    return found


def without_parameters(handler: Handler) -> Handler:
    """The handler of a users' endpoint that takes none."""

    async def without(request: web.Request) -> web.StreamResponse:
        if request.rel_url.raw_query_string:
            identity(request)  # no validation errors for unauthenticated callers
            query(request, Nothing)
        return await handler(request)

    return without


def path_uuid(request: web.Request, name: str = "id") -> UUID:
    """The UUID in the path.

    Raises:
        Refused: 400.
    """
    try:
        return UUID(request.match_info[name])
    except ValueError as error:
        raise Refused(400, "bad_request", "The id in the address is not a UUID.") from error


async def received(request: web.Request) -> bytes:
    """The body as sent, within the application's deadline: one that trickles in does not hold
    anything for ever.

    Raises:
        Refused: 408.
    """
    try:
        async with asyncio.timeout(request.app.get(READ_S, LONGEST_READ_S)):
            return await request.read()
    except TimeoutError as error:
        raise Refused(
            408, "slow_body", "The body did not arrive in time.", Connection="close"
        ) from error


def decoded(request: web.Request, content: bytes) -> bytes:
    """The body without the encoding that the request names.

    Raises:
        HTTPRequestEntityTooLarge: it is larger than the application accepts.
        Undecodable: it does not match its headers.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is None:
        return content
    most = request.client_max_size
    try:
        return encodings.decoded(content, encoding, most=most)
    except encodings.TooLarge as error:
        raise web.HTTPRequestEntityTooLarge(most, len(content)) from error


async def body(request: web.Request, model: type[ModelT]) -> ModelT:
    """The JSON body as `model`.

    Raises:
        Refused: 400, with a sentence that names the field; 408; 413.
    """
    try:
        content = decoded(request, await received(request))
    except (web.RequestPayloadError, ConnectionResetError, encodings.Undecodable) as error:
        raise Refused(400, "bad_request", "The body does not match its headers.") from error
    try:
        return model.model_validate_json(content, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Refused(400, "bad_request", _sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"'{name}' is not recognized."
    if first["type"] == "json_invalid":
        return "The body is not valid JSON."
    message = first["msg"].removeprefix("Value error, ")
    return f"'{name}': {message}." if name else f"{message}."


def refused(error: Exception) -> Refused:  # noqa: PLR0911  a table
    """The response for an exception."""
    match error:
        case Refused():
            return error
        case Unavailable():
            return Refused(
                503,
                "unavailable",
                "Part of the service is unavailable. Try again soon.",
                Retry_After=RETRY_AFTER_S,
            )
        case web.HTTPRequestEntityTooLarge():
            return Refused(413, "too_large", "The body is larger than this service accepts.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Refused(
                405, METHOD_NOT_ALLOWED, f"Only {allowed} is allowed here.", Allow=allowed
            )
        case web.HTTPNotFound():
            return Refused(404, NO_SUCH_ADDRESS, "There is nothing at this address.")
        case web.HTTPException():
            return Refused(error.status, "http_error", f"{error.reason}.")
        case _:
            log.error("request_failed", exc_info=error)
            return Refused(500, "internal_error", "Something went wrong on our side.")
