"""One connection to Redis on which many requests share each round trip.

Rule 1: commands of one turn of the event loop are sent in one write; answers come back in order.
        Equal commands in the same turn are sent once, after all have been collected.
Rule 2: an answer that takes longer than the deadline ends the connection: every command that waits
        on it is `Unavailable`. From then on nobody waits: reconnecting is tried each moment in the
        background, and commands are `Unavailable` at once until one attempt has succeeded. The
        time counts from when a command is sent: a busy process, which may take long until then, is
        no reason to give a server up, or not to reconnect.
Rule 3: a connection knows which run of the server it reached, and since which promotion. What
        another run held may be older than what this one would have held, and so may the data of a
        server after others took its place for a while: nothing is trusted across either.

The usual client needs several times as much CPU time per command, and the client's CPU time limits
how many cached pages a process serves.
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self

import hiredis
from redis.asyncio.connection import parse_url

from shared.errors import Unavailable

DEADLINE_S: Final = 0.25
OPENING_S: Final = 1.0
"""Timeout of a connection attempt, which takes half a dozen turns of the event loop. Nobody waits
for it longer than for an answer.
"""
BREAKER_S: Final = 1.0
"""Interval of connection attempts."""

Answer = Any
Waiting = tuple[float, asyncio.Future[Answer]]


class _Line(asyncio.Protocol):
    """An open connection."""

    def __init__(self) -> None:
        self.run = b""
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Waiting] = deque()
        self._unsent: list[tuple[bytes, asyncio.Future[Answer]]] = []
        self._shared: dict[tuple[Any, ...], asyncio.Future[Answer]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self.closed = False
        self.was_silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is one

    def send(self, command: tuple[Any, ...]) -> asyncio.Future[Answer]:
        if self.closed:
            raise Unavailable("Redis: the connection is closed")
        future: asyncio.Future[Answer] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append((hiredis.pack_command(command), future))
        return future

    def share(self, command: tuple[Any, ...]) -> asyncio.Future[Answer]:
        """For a command that only reads. Cancelling one waiter cancels all: they wait for one
        future, unshielded, because a shield costs more than the rest of a hit.
        """
        future = self._shared.get(command)
        if future is None:
            future = self._shared[command] = self.send(command)
        return future

    def _flush(self) -> None:
        self._shared.clear()
        if self._transport is None or self.closed:
            return
        self._transport.write(b"".join([command for command, _ in self._unsent]))
        due = self._loop.time() + DEADLINE_S
        self._waiting.extend([(due, future) for _, future in self._unsent])
        self._unsent.clear()
        if self._watch is None:
            self._watch = self._loop.call_later(DEADLINE_S, self._check)

    def _check(self) -> None:
        self._watch = None
        if not self._waiting or self.closed:
            return
        left = self._waiting[0][0] - self._loop.time()
        if left <= 0:
            self.was_silent = True
            self.close("no answer in time")
        else:
            self._watch = self._loop.call_later(left, self._check)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                _, future = self._waiting.popleft()
                if future.done():  # the caller was cancelled
                    continue
                if isinstance(answer, hiredis.ReplyError):
                    _fail(future, f"refuses: {answer}")
                else:
                    future.set_result(answer)
        except (hiredis.ProtocolError, IndexError) as error:
            self.close(f"not the Redis protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(f"connection lost: {exc}")

    def close(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        for _, future in (*self._waiting, *self._unsent):
            if not future.done():
                _fail(future, reason)
        self._waiting.clear()
        self._unsent.clear()


def _fail(future: asyncio.Future[Answer], reason: str) -> None:
    future.set_exception(Unavailable(f"Redis: {reason}"))
    future.exception()  # retrieved here: the caller may be gone


class Wire:
    """A connection that is opened on demand, and again after it broke."""

    def __init__(self, url: str) -> None:
        self._to: dict[str, Any] = dict(parse_url(url))
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None
        self._retry_at = 0.0
        self._is_away = False
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Unavailable):
                (await self._opening).close("closing")
        if self._line is not None:
            self._line.close("closing")

    async def call(self, *command: Any) -> Answer:
        """Raises:
        Unavailable: no connection, no answer in time, or the server refuses.
        """
        line = self._line
        if line is None or line.closed:
            line = await self._connected()
        return await line.send(command)

    async def ask(self, command: tuple[Any, ...]) -> tuple[bytes, Answer]:
        """The answer to a command that only reads, and the run of the server that gave it.

        Raises:
            Unavailable: as `call`.
        """
        line = self._line
        if line is None or line.closed:
            line = await self._connected()
        return line.run, await line.share(command)

    async def call_all(self, commands: list[tuple[Any, ...]]) -> list[Answer]:
        """Send all in one round trip.

        Raises:
            Unavailable: some command was not answered; any may have been carried out.
        """
        line = self._line
        if line is None or line.closed:
            line = await self._connected()
        futures = [line.send(command) for command in commands]
        return [await future for future in futures]

    async def ping(self) -> None:
        """Raises:
        Unavailable: the server does not answer.
        """
        await self.call("PING")

    async def _connected(self) -> _Line:
        if self._is_closed:  # a page is still being cached when the process ends
            raise Unavailable("Redis: the connection is closed")
        if self._line is not None and self._line.was_silent:
            self._is_away = True
        if self._opening is None and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + BREAKER_S
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._opened)
        if self._opening is None or self._is_away:
            raise Unavailable("Redis: unavailable a moment ago")
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.shield(self._opening)  # many may wait for the same attempt
        except TimeoutError as error:
            self._is_away |= self._opening is not None
            raise Unavailable("Redis: not reached in time") from error

    def _opened(self, task: asyncio.Task[_Line]) -> None:
        self._opening = None
        if task.cancelled() or task.exception() is not None:
            self._is_away = True
        else:
            self._is_away = False
            self._retry_at = 0.0
            self._line = task.result()

    async def _open(self) -> _Line:
        line: _Line | None = None
        try:
            async with asyncio.timeout(OPENING_S):
                line = await self._dial()
                await self._introduce(line)
        except (OSError, TimeoutError) as error:
            if line is not None:
                line.close("not opened")
            raise Unavailable(f"Redis: {type(error).__name__}: {error}") from error
        except (Unavailable, asyncio.CancelledError):
            if line is not None:
                line.close("not opened")
            raise
        return line

    async def _dial(self) -> _Line:
        loop = asyncio.get_running_loop()
        factory: Callable[[], _Line] = _Line
        if "path" in self._to:
            _, line = await loop.create_unix_connection(factory, self._to["path"])
            return line
        secure = "ssl" in getattr(self._to.get("connection_class"), "__name__", "").lower()
        _, line = await loop.create_connection(
            factory,
            self._to.get("host", "localhost"),
            self._to.get("port", 6379),
            ssl=self._tls() if secure else None,
        )
        return line

    def _tls(self) -> ssl.SSLContext:
        """Verifies the server's name; `ssl_ca_certs` in the URL names the CA."""
        return ssl.create_default_context(cafile=self._to.get("ssl_ca_certs"))

    async def _introduce(self, line: _Line) -> None:
        commands: list[tuple[Any, ...]] = []
        if password := self._to.get("password"):
            user = self._to.get("username")
            commands.append(("AUTH", user, password) if user else ("AUTH", password))
        if number := self._to.get("db"):
            commands.append(("SELECT", number))
        commands += [("INFO", section) for section in ("server", "replication")]
        asked = [line.send(command) for command in commands]
        answers = [await each for each in asked]
        told = b"".join(answers[-2:])
        named = dict(entry.split(b":", 1) for entry in told.splitlines() if b":" in entry)
        line.run = b"%b:%b" % (named.get(b"run_id", b""), named.get(b"master_replid", b""))
