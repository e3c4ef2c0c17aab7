"""Clients' connections: what is not HTTP is refused like everything else that cannot be answered.

No endpoint gets to see such a request, and the framework would refuse it with a dump of its bytes
as plain text.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from shared.web import Refused, refusal

LONGEST_LINE_BYTES: Final = 64 * 1024
"""Of a request line or header. Up to here, a limit of an endpoint is reported in our own words."""
PARSING: Final[Mapping[str, Any]] = {
    "access_log": None,
    "max_line_size": LONGEST_LINE_BYTES,
    "max_field_size": LONGEST_LINE_BYTES,
    "auto_decompress": False,
}
"""What the framework cannot decode is left to `shared/encodings.py`, which words its own
errors.
"""
NOT_HTTP: Final = (
    "The request is not valid HTTP: addresses must be percent-encoded, and no line may be longer "
    f"than {LONGEST_LINE_BYTES:,} bytes."
)


class Connection(web.RequestHandler):
    """One client's."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        told = super().handle_error(request, status, exc, message)  # also logs it
        if status != HTTPStatus.BAD_REQUEST:
            return told
        response = refusal(Refused(status, "bad_request", NOT_HTTP))
        response.force_close()
        return response


class Connections(web.Server):
    """Serves what the other server would; `idle_s` is how long a connection may be silent."""

    def __init__(self, other: web.Server, *, idle_s: float) -> None:
        super().__init__(other.request_handler, request_factory=other.request_factory)
        self._idle_s = idle_s

    def __call__(self) -> Connection:
        loop = asyncio.get_running_loop()
        return Connection(self, loop=loop, keepalive_timeout=self._idle_s, **PARSING)
