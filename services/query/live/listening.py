"""One connection to Postgres on which a process receives notifications of commits.

Rule: notifications are lost while the connection is down. Subscribers are told whenever it is
back, and check for themselves.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import asyncpg

from shared import db, lifecycle
from shared.errors import Unavailable
from shared.lifecycle import Works

CHECK_S: Final = 5.0
ANSWER_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Listener:
    """`hear` takes each payload; `missed` says that some may have been lost."""

    hear: Callable[[str], None]
    missed: Callable[[], None]


class Ear:
    def __init__(self, dsn: str, schema: str, listeners: Sequence[Listener]) -> None:
        self._dsn = dsn
        self._schema = schema
        self._listeners = listeners

    async def run(self, stop: asyncio.Event) -> None:
        await lifecycle.sessions(partial(self._session, stop), stop, what="listening")

    async def _session(self, stop: asyncio.Event, works: Works) -> None:
        conn = await db.connect(self._dsn, self._schema)
        try:
            with db.errors():
                await self._listen(conn, stop, works)
        finally:
            conn.terminate()

    async def _listen(self, conn: asyncpg.Connection, stop: asyncio.Event, works: Works) -> None:
        ended = asyncio.Event()
        conn.add_termination_listener(lambda _: ended.set())
        await conn.add_listener(f"live_{self._schema}", self._heard)
        works()
        for each in self._listeners:
            each.missed()
        while not stop.is_set():
            await lifecycle.first_of(CHECK_S, stop, ended)
            if ended.is_set():
                raise Unavailable("Postgres: the listening connection ended")
            # A connection whose other end has vanished reports nothing by itself.
            await conn.fetchval("SELECT 1", timeout=ANSWER_S)

    def _heard(self, *said: Any) -> None:
        for each in self._listeners:
            each.hear(said[-1])
