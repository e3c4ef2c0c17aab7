"""Collects the records of many callers into rounds, each delivered as a whole.

Rule 1: what arrives while a round is in flight makes up the next: rounds grow with the load, and a
        lane's records keep their order.
Rule 2: a round that is large enough does not wait for the previous one: the broker works while we
        do. Small ones would only make more work for both.
Rule 3: every caller has its own deadline, from the arrival of its records.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from shared.errors import Unavailable
from shared.observability import PUBLISH_SECONDS
from shared.pacing import Pace

Acked = asyncio.Future[None]

PACE = Pace(times=1.0, least_s=0.0, most_s=0.010, much=32)
"""A round costs the client 20 µs for each partition it goes to; a record in it costs 2."""
ROUNDS: Final = 2
"""In flight at once. The producer has one request in flight and collects one."""
CLOSING: Final = "Kafka: the publisher is closing"


class Record(NamedTuple):
    """`topic` is the name in the contract, without the cluster's prefix."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Delivery(NamedTuple):
    """One caller's records, the future for their ack, and when the caller stops waiting."""

    records: Sequence[Record]
    acked: Acked
    due: float


class Round:
    """What goes to Kafka together. One timer for all: a timer each costs as much as a record."""

    def __init__(self, deadline_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._deliveries: list[Delivery] = []
        self.size = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, records: Sequence[Record], acked: Acked) -> None:
        due = self._loop.time() + self._deadline_s
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._expire)
        self._deliveries.append(Delivery(records, acked, due))
        self.size += len(records)

    def records(self) -> list[Record]:
        """Of callers that still wait: those that gave up were told that theirs may not arrive."""
        return [r for each in self._deliveries if not each.acked.done() for r in each.records]

    def settle(self, error: Exception | None = None) -> None:
        """Tell all callers that their records are acked, or why not."""
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
    """`deliver` raises `Unavailable` if some record of a round was not acked. A second round may
    start while it waits: their order must be kept.
    """

    def __init__(
        self, deliver: Callable[[Sequence[Record]], Awaitable[None]], *, deadline_s: float
    ) -> None:
        self._deliver = deliver
        self._deadline_s = deadline_s
        self._next: Round | None = None
        self._flying: set[asyncio.Task[float]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._ok = PUBLISH_SECONDS.labels("ok")
        self._failed = PUBLISH_SECONDS.labels("failed")

    def add(self, records: Sequence[Record], acked: Acked) -> None:
        if self._next is None:
            self._next = Round(self._deadline_s)
        self._next.add(records, acked)
        self._go_on()

    async def close(self) -> None:
        """All waiting callers are told."""
        if self._next is not None:
            self._next.settle(Unavailable(CLOSING))
            self._next = None
        if self._rest is not None:
            self._rest.cancel()
        for each in self._flying:
            each.cancel()
        if self._flying:
            await asyncio.wait(self._flying)

    def _go_on(self) -> None:
        """Start the next round, if it is due."""
        if self._next is None or len(self._flying) >= ROUNDS:
            return
        if (self._flying or self._rest is not None) and self._next.size < PACE.much:
            return
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        task = asyncio.get_running_loop().create_task(self._fly())
        self._flying.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[float]) -> None:
        self._flying.discard(task)
        rest_s = 0.0 if task.cancelled() else task.result()
        if rest_s and not self._flying:
            self._rest = asyncio.get_running_loop().call_later(rest_s, self._rested)
        else:
            self._go_on()

    def _rested(self) -> None:
        self._rest = None
        self._go_on()

    async def _fly(self) -> float:
        """Deliver what has arrived by now. Returns how many seconds to pause after it."""
        taken, self._next = self._next, None
        if taken is None:
            return 0.0
        began = time.perf_counter()
        records = taken.records()
        try:
            await self._deliver(records)
        except Unavailable as outage:
            self._failed.observe(time.perf_counter() - began)
            taken.settle(outage)
        except asyncio.CancelledError:
            taken.settle(Unavailable(CLOSING))
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
