"""`GET /api/my-500/stream`: server-sent events of what changes in the user's list.

Rule 1: a stream lasts as long as its token: it ends when that expires or is revoked.
Rule 2: a client that resumes gets all that it missed, or is told to read everything again.
"""

import random
import socket
import time
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from services.query import limits
from services.query.live import events as live_events
from services.query.live.events import Place
from services.query.live.hub import Hub
from services.query.live.stream import Stream
from shared.json_model import Json
from shared.observability import STREAMS_CLOSED
from shared.openapi import Endpoint, Events
from shared.web import Refused, query, session

PATH: Final = "/api/my-500/stream"
BEAT_S: Final = 15.0
RETRY_MS: Final = (500, 2_000)
"""Reconnect delay of clients: random, so that not all come at once after a restart."""
KERNEL_BYTES: Final = 64 * 1024
"""By default the kernel would buffer megabytes for a client that does not read."""
GONE_S: Final = 45.0
"""How long a client's network may leave unacknowledged what was sent, which is a beat at least
every `BEAT_S`. By default the kernel would wait for a quarter of an hour, and a user may have only
ten streams.
"""
HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # tells nginx and similar proxies not to buffer
}


RESUMING: Final = {
    "Last-Event-ID": {
        "type": "string",
        "description": "id of the last event seen: the stream resumes after it",
    }
}


class StreamQuery(Json):
    """The parameters of `GET /api/my-500/stream`."""

    last_event_id: str | None = Field(
        None, description="like the header Last-Event-ID, for clients that cannot send it"
    )


def endpoint(hub: Hub) -> Endpoint:
    async def my_500_stream(request: web.Request) -> web.StreamResponse:
        stream = _opened(request, hub)
        try:
            return await _serve(request, stream, hub)
        finally:
            hub.leave(stream)

    return Endpoint(
        "GET",
        PATH,
        my_500_stream,
        "Changes to the user's list, as server-sent events; Last-Event-ID resumes",
        {
            200: Events(
                "contact {contact, total}; removed {id, total}; organization {id, organization}, "
                "for all contacts in it; sync {syncStatus}; reset {}: read the list again"
            ),
            429: "The user has too many streams open",
            503: "This instance has too many streams open; another may have room",
        },
        query=StreamQuery,
        headers=RESUMING,
    )


def _opened(request: web.Request, hub: Hub) -> Stream:
    """Raises:
    Refused: 400, 401, 429, 503.
    """
    transport = request.transport
    stream = Stream(
        session(request),
        _place(request),
        cut_off=lambda: transport.abort() if transport is not None else None,
        is_gone=lambda: transport is None or transport.is_closing(),
    )
    if not hub.has_room(stream.user):
        raise Refused(429, "too_many_streams", "You have too many streams open.", Retry_After="15")
    if hub.is_full:
        raise limits.overloaded()
    hub.join(stream)
    return stream


def _place(request: web.Request) -> Place | None:
    asked = query(request, StreamQuery).last_event_id or ""
    return live_events.decode(request.headers.get("Last-Event-ID", asked))


async def _serve(request: web.Request, stream: Stream, hub: Hub) -> web.StreamResponse:
    _narrow(request.get_extra_info("socket"))
    response = web.StreamResponse(headers=HEADERS)
    try:
        await response.prepare(request)
        await response.write(live_events.RETRY % random.randint(*RETRY_MS))  # noqa: S311  jitter
        while not stream.closed:
            left = stream.session.expires_at - time.time()
            if left <= 0:
                STREAMS_CLOSED.labels("expired").inc()
                break
            content = await stream.next(min(BEAT_S, left))
            if not stream.closed:
                await response.write(content or hub.beat(stream))
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone, or was cut off
    return response


def _narrow(connection: Any) -> None:
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(GONE_S * 1000))
