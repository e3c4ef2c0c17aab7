"""A TCP relay before a server, through which a test breaks the network between it and others."""

import asyncio
import contextlib
from enum import StrEnum
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

CHUNK = 64 * 1024


class Weather(StrEnum):
    FAIR = "fair"
    REFUSED = "refused"
    """Nothing listens; connections there were are reset."""
    HALF_OPEN = "half-open"
    """Connections open and stay open; no byte passes."""
    SLOW = "slow"
    """Each piece of an answer or a question is held up."""


class Proxy:
    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_s = 0.0
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def turn(self, weather: Weather, *, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s if weather is Weather.SLOW else 0.0
        if weather is Weather.HALF_OPEN:
            self._flowing.clear()
        else:
            self._flowing.set()
        if weather is Weather.REFUSED:
            await self._close()
        elif self._server is None:
            await self._listen()

    def pass_by(self) -> None:
        """Fair weather for what comes; what stands still stands still for ever, as where another
        server has taken the place of one that is gone.
        """
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks) if tasks else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # accepted while it closed
            _abort(writer)
            return
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a connection is served by a task")
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            pass  # the connection is cut; the server's own task must not see it as a failure
        finally:
            self._tasks.discard(task)
            _abort(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            return  # refused there, so reset here
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer))
                group.create_task(self._pump(up_reader, writer))
        finally:
            _abort(up_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                await self._heard(chunk)
                await self._flowing.wait()
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def _heard(self, chunk: bytes) -> None:
        """Before each piece is passed on: for those who turn the weather by what is said."""


Kind = TypeVar("Kind", bound=Proxy)


def before(url: str, kind: type[Kind] = Proxy) -> Kind:
    """One before the server that a URL names."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError("the server's URL names no host and port")
    return kind(parts.hostname, parts.port)


def through(url: str, link: Proxy) -> str:
    """The URL of the same by way of the relay."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{link.port}"))


def _abort(writer: asyncio.StreamWriter) -> None:
    """Closed at once, whatever is still unsent: a cut is no farewell."""
    if writer.transport is not None:
        writer.transport.abort()
