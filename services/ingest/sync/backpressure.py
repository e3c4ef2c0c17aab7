"""Holds a sync back while the log's consumers are behind: live changes queue in the same
partitions, behind all that a sync has written.

Rule 1: a sync is ahead of each consumer by about as much as that one reads in AHEAD_S, and by
        LEAST records in any case, so that none runs dry.
Rule 2: a partition in which a consumer makes no progress for STILL_S is not waited for until it
        does: neither a service taken out of use nor one stuck instance of several holds up a sync.
Rule 3: correctness does not depend on it: where Kafka does not answer, the sync goes on.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared import heart, lifecycle
from shared.errors import Unavailable
from shared.kafka.group_lag import GroupLags, Lag, Partitions
from shared.kafka.offsets import Partition
from shared.observability import SYNC_HELD

log = logging.getLogger(__name__)

READERS: Final = ("orgs", "scoring", "query")
AHEAD_S: Final = 3.0
"""With half of it consumers work in small batches, and a sync takes half as long again."""
LEAST: Final = 500
"""A page. On a slow machine more would mean seconds."""
LOOK_S: Final = 0.5
STILL_S: Final = 60.0
TELL_S: Final = 10.0
RATE_S: Final = 5.0
"""Window in which a consumer's rate is measured."""


class Sighting(NamedTuple):
    """A partition's state, and since when, in seconds, nothing of it has been read."""

    lag: Lag
    since: float


@dataclass(slots=True)
class Reader:
    """One service as a consumer: its partitions, and the sampled positions, with times in seconds,
    in those where it makes progress.
    """

    seen: deque[tuple[float, Lag]] = field(default_factory=deque)
    gets_on: bool = True
    _sighted: dict[Partition, Sighting] = field(default_factory=dict)

    def note(self, partitions: Partitions, now: float) -> None:
        self._sighted = {
            place: Sighting(lag, self._since(place, lag, now)) for place, lag in partitions.items()
        }
        waiting = [each for each in self._sighted.values() if each.lag.behind]
        moving = [each.lag.behind for each in waiting if now - each.since < STILL_S]
        self.gets_on = bool(moving) or not waiting
        done = sum(lag.done for lag in partitions.values())
        self.seen.append((now, Lag(done, sum(moving))))
        while now - self.seen[0][0] > RATE_S:
            self.seen.popleft()

    def _since(self, place: Partition, lag: Lag, now: float) -> float:
        before = self._sighted.get(place)
        if before is None or not before.lag.behind or before.lag.done != lag.done:
            return now
        return before.since

    def rate(self) -> float:
        """Records per second."""
        (began, first), (ended, last) = self.seen[0], self.seen[-1]
        return (last.done - first.done) / (ended - began) if ended > began else 0.0

    def is_waited_for(self, added: int) -> bool:
        """`added` is the number of records published since the last look."""
        _, lag = self.seen[-1]
        return self.gets_on and lag.behind + added > max(LEAST, AHEAD_S * self.rate())


class Backpressure:
    """Shared by all syncs of a process."""

    def __init__(self, lags: GroupLags) -> None:
        self._lags = lags
        self.readers: dict[str, Reader] = {}
        self._in_sight: frozenset[str] = frozenset()
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._added = 0

    async def hold(self, records: int, stop: asyncio.Event) -> None:
        """Wait until there is room for so many, or the process is to stop."""
        told_at = time.monotonic() + TELL_S
        while not stop.is_set():
            heart.beat()
            began = time.monotonic()
            async with self._looking:
                if began - self._looked_at >= LOOK_S:
                    await self._look()
            seen = [(name, self.readers[name]) for name in sorted(self._in_sight)]
            late = [name for name, reader in seen if reader.is_waited_for(self._added)]
            if not late:
                break
            if began >= told_at:
                log.info("sync_held", extra={"readers": late})
                told_at = math.inf
            await lifecycle.wait_or_stop(LOOK_S, stop)
            SYNC_HELD.inc(time.monotonic() - began)
        self._added += records

    async def _look(self) -> None:
        found: Mapping[str, Partitions] = {}
        try:
            found = await self._lags.look()
        except Unavailable as trouble:
            log.info("readers_not_seen", extra={"reason": str(trouble)})
        now = time.monotonic()
        self._looked_at, self._added = now, 0
        self._in_sight = frozenset(found)
        for name, partitions in found.items():
            self.readers.setdefault(name, Reader()).note(partitions, now)
