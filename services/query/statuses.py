"""The companies' sync statuses, as shown on the pages of this process.

Rule 1: what was read under a clean generation of the company holds while that is current.
Rule 2: one reads at a time, for all who ask before its read begins. A later request may know of a
        change that this read misses, and shares the next.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import asyncpg

from services.query import reading, store
from services.query.flights import Flights
from shared.db import Connection

TellStatus = Callable[[asyncpg.Record | None], dict[str, Any]]
"""How a kind of page presents the company's sync status."""


class StatusKey(NamedTuple):
    """A company, and a kind of page that shows its status."""

    company_id: int
    tell: TellStatus


class Told(NamedTuple):
    """`tag` names the generation it was read under, null if that was not clean; `read_at` is in
    seconds of `time.monotonic`.
    """

    tag: bytes | None
    status: bytes
    read_at: float


Snapshot = Callable[[], AbstractAsyncContextManager[Connection]]


class Statuses:
    def __init__(self) -> None:
        self._told: dict[StatusKey, Told] = {}
        self._flights = Flights[tuple[StatusKey, bytes | None, int], bytes]()
        self._begun = Counter[StatusKey]()
        self._turns = defaultdict[StatusKey, asyncio.Lock](asyncio.Lock)

    async def now(self, key: StatusKey, tag: bytes | None, snapshot: Snapshot) -> bytes:
        """The status under the clean generation that `tag` names or, without one, now.

        Raises:
            Unavailable: Postgres is away.
            Refused: there is no room for the read.
        """
        held = self._held(key, tag)
        if held is not None:
            return held
        flight = (key, tag, self._begun[key])
        return await self._flights.join(flight, lambda: self._read(key, tag, snapshot))

    def last(self, key: StatusKey, *, since: float) -> bytes | None:
        """The last known status, if it was read after this time."""
        told = self._told.get(key)
        return told.status if told is not None and told.read_at > since else None

    def _held(self, key: StatusKey, tag: bytes | None) -> bytes | None:
        told = self._told.get(key)
        return told.status if told is not None and tag is not None and told.tag == tag else None

    async def _read(self, key: StatusKey, tag: bytes | None, snapshot: Snapshot) -> bytes:
        async with self._turns[key]:
            held = self._held(key, tag)
            if held is not None:
                return held
            async with snapshot() as conn:
                self._begun[key] += 1
                began = time.monotonic()
                row = await store.sync_status(conn, key.company_id)
            status = reading.told_status(key.tell(row))
            self._told[key] = Told(tag, status, began)
        return status
