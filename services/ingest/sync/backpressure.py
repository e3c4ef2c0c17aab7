"""Holds a sync back while those who read the log are behind: what Pipedrive tells of meanwhile
stands in the same partitions, behind all that a sync has put there.

Rule 1: a sync is ahead of each of its readers by about as much as that one reads in AHEAD_S, and
        by LEAST records in any case, so that nobody runs dry.
Rule 2: a reader that does not get on for STILL_S is not waited for until it does: a service that
        is taken out of use holds up no sync.
Rule 3: nothing depends on it: where Kafka does not tell, the sync goes on.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared import heart, lifecycle
from shared.errors import Unavailable
from shared.kafka.standing import Standing, Standings
from shared.observability import SYNC_HELD

log = logging.getLogger(__name__)

READERS: Final = ("orgs", "scoring", "query")
AHEAD_S: Final = 3.0
"""With half of it readers work in small batches, and a sync takes half as long again."""
LEAST: Final = 500
"""A page. On a slow machine more would be seconds."""
LOOK_S: Final = 0.5
STILL_S: Final = 60.0
RATE_S: Final = 5.0
"""How far back a reader's rate is measured."""


@dataclass(slots=True)
class Reader:
    """What was seen of one service: at what times, in seconds, and how it stood."""

    seen: deque[tuple[float, Standing]] = field(default_factory=deque)
    moved_at: float = 0.0

    def note(self, standing: Standing, now: float) -> None:
        before = self.seen[-1][1] if self.seen else None
        if before is None or not before.behind or standing.done != before.done:
            self.moved_at = now
        self.seen.append((now, standing))
        while now - self.seen[0][0] > RATE_S:
            self.seen.popleft()

    def rate(self) -> float:
        """Records a second."""
        (began, first), (ended, last) = self.seen[0], self.seen[-1]
        return (last.done - first.done) / (ended - began) if ended > began else 0.0

    def is_waited_for(self, added: int) -> bool:
        """Of `added` records it was not seen yet whether they were read."""
        now, standing = self.seen[-1]
        if now - self.moved_at >= STILL_S:
            return False
        return standing.behind + added > max(LEAST, AHEAD_S * self.rate())


class Backpressure:
    """Of all syncs of a process."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings
        self.readers: dict[str, Reader] = {}
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._added = 0

    async def hold(self, records: int, stop: asyncio.Event) -> None:
        """Until there is room for these, or the process is to stop."""
        began = time.monotonic()
        while not stop.is_set():
            heart.beat()
            async with self._looking:
                if time.monotonic() - self._looked_at >= LOOK_S:
                    await self._look()
            if not any(reader.is_waited_for(self._added) for reader in self.readers.values()):
                break
            await lifecycle.wait_or_stop(LOOK_S, stop)
        self._added += records
        SYNC_HELD.inc(time.monotonic() - began)

    async def _look(self) -> None:
        found: Mapping[str, Standing] = {}
        try:
            found = await self._standings.look()
        except Unavailable as trouble:
            log.info("readers_not_seen", extra={"reason": str(trouble)})
        now = time.monotonic()
        self._looked_at, self._added = now, 0
        self.readers = {name: self.readers.get(name, Reader()) for name in found}
        for name, standing in found.items():
            self.readers[name].note(standing, now)
