"""A success response as ready bytes: sent in one write and without building headers.

Rule 1: only for HTTP/1.1 requests on a connection that stays open and has nothing left to send;
        every other request gets the usual response, with the same status and body.
Rule 2: only public members of the framework's response are replaced: `prepare`, `write_eof` and
        `keep_alive`, which it uses of every response, and `force_close`.

Why: composing the same headers again took a fifth of the CPU time of a cached page, and a tenth of
a webhook's.
"""

import time
from email.utils import formatdate
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11

START: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %b\r\n"
END: Final = b"Content-Length: %d\r\n\r\n"
LAST: Final = b"Connection: close\r\n"


class Clock:
    """The first lines, formatted once a second because of the date."""

    def __init__(self) -> None:
        self._second = 0
        self._start = b""

    def start(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._start = START % formatdate(second, usegmt=True).encode()
        return self._start


_CLOCK: Final = Clock()


class Ready(web.StreamResponse):
    """The body may come in two parts, so that a large one is not copied to append to it."""

    def __init__(self, body: bytes, tail: bytes = b"", *, headers: bytes = b"") -> None:
        """`headers` are complete lines, as sent."""
        super().__init__()
        self._parts = [_CLOCK.start(), headers, END % (len(body) + len(tail)), body, tail]
        self._is_last = False

    @property
    def keep_alive(self) -> bool | None:
        return not self._is_last

    def force_close(self) -> None:
        if not self._is_last:
            self._is_last = True
            self._parts.insert(1, LAST)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(b"".join(self._parts))
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything has already been written."""


def suits(request: web.Request) -> bool:
    """Whether rule 1 allows it for the request."""
    transport = request.transport
    return (
        transport is not None
        and request.version == HttpVersion11
        and request.keep_alive
        and transport.get_write_buffer_size() == 0
    )
