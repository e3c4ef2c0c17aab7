"""Collects the records of many callers into rounds, each delivered as a whole.

Rule 1: a lane has one round in flight, and what comes meanwhile makes up the next: rounds grow
        with the load, and a lane's records keep their order.
Rule 2: every caller has a deadline of its own, from when its records came.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from shared.errors import Unavailable
from shared.observability import PUBLISH_SECONDS
from shared.pacing import Pace

Acked = asyncio.Future[None]

PACE = Pace(times=1.0, least_s=0.0, most_s=0.010, much=16)
"""A round costs broker and client as much as ten records do."""


class Record(NamedTuple):
    """`topic` is the name in the contract, without the cluster's prefix."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Delivery(NamedTuple):
    """Records of one caller, what tells it that they are acked, and when it stops waiting."""

    records: Sequence[Record]
    acked: Acked
    due: float


class Round:
    """What goes to Kafka together. One timer for all: a timer each costs as much as a record."""

    def __init__(self, deadline_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._deliveries: list[Delivery] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, records: Sequence[Record], acked: Acked) -> None:
        due = self._loop.time() + self._deadline_s
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._expire)
        self._deliveries.append(Delivery(records, acked, due))

    def records(self) -> list[Record]:
        """Of those who still wait: whoever gave up was told that they may not arrive."""
        return [r for each in self._deliveries if not each.acked.done() for r in each.records]

    def settle(self, error: Exception | None = None) -> None:
        """Tell all that they are acked, or why not."""
        if self._timer is not None:
            self._timer.cancel()
        for each in self._deliveries:
            _tell(each.acked, error)

    def _expire(self) -> None:
        now = self._loop.time()
        for each in self._deliveries:
            if each.due > now:
                self._timer = self._loop.call_at(each.due, self._expire)
                return
            _tell(each.acked, Unavailable("Kafka: no acknowledgement in time"))


class Lane:
    """`deliver` raises `Unavailable` when some record of a round was not acked."""

    def __init__(
        self, deliver: Callable[[Sequence[Record]], Awaitable[None]], *, deadline_s: float
    ) -> None:
        self._deliver = deliver
        self._deadline_s = deadline_s
        self._next: Round | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._ok = PUBLISH_SECONDS.labels("ok")
        self._failed = PUBLISH_SECONDS.labels("failed")

    def add(self, records: Sequence[Record], acked: Acked) -> None:
        if self._next is None:
            self._next = Round(self._deadline_s)
        self._next.add(records, acked)
        if self._flusher is None:
            self._flusher = asyncio.get_running_loop().create_task(self._flush())

    async def close(self) -> None:
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        """Deliver round after round until nobody waits."""
        try:
            while self._next is not None:
                taken, self._next = self._next, None
                await asyncio.sleep(await self._settled(taken))
        finally:
            self._flusher = None

    async def _settled(self, taken: Round) -> float:
        """How many seconds to rest after it."""
        began = time.perf_counter()
        records = taken.records()
        try:
            await self._deliver(records)
        except Unavailable as outage:
            self._failed.observe(time.perf_counter() - began)
            taken.settle(outage)
        except asyncio.CancelledError:
            for each in (taken, self._next):
                if each is not None:
                    each.settle(Unavailable("Kafka: the publisher is closing"))
            self._next = None
            raise
        except Exception as bug:  # noqa: BLE001  every caller raises it
            taken.settle(bug)
        else:
            self._ok.observe(time.perf_counter() - began)
            taken.settle()
        return PACE.rest(time.perf_counter() - began, len(records))


def _tell(acked: Acked, error: Exception | None) -> None:
    if acked.done():
        return
    if error is None:
        acked.set_result(None)
    else:
        acked.set_exception(error)
