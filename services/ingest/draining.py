"""Brings what waits in the spools to Kafka, and finds out whether Kafka takes records.

Rule 1: oldest first; a record leaves the spool after Kafka has acked it. A crash in between sends
        it twice.
Rule 2: what Kafka refuses while it takes others holds up its own key only; it is tried again and
        again, and said.
Rule 3: what a dead instance left on disk is taken over.
Rule 4: what Kafka has acked is sent no more by this process, also where the disk does not let go
        of it; once all is sent, the file goes as a whole.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from services.ingest.outlet import Outlet
from services.ingest.spool import slots
from services.ingest.spool.file import Refused, Waiting
from services.ingest.spool.rescue import Withheld
from services.ingest.spool.slots import Slot
from services.ingest.spool.spool import Spool
from shared import heart, lifecycle
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.observability import SPOOL_AGE, SPOOL_BYTES, SPOOL_DRAINED, SPOOL_EVENTS, SPOOL_HELD

log = logging.getLogger(__name__)

BATCH: Final = 500
BATCH_BYTES: Final = 1024 * 1024
PROBE_S: Final = 1.0
HELD_S: Final = 5.0
TEND_S: Final = 1.0
ADOPT_S: Final = 5.0
MOVES: Final = 20
"""Batches of a damaged file that are moved between two looks at all the rest."""


class Draining:
    """`spools` begins with this process's own; what is taken over is added to it."""

    def __init__(
        self,
        publisher: Publisher,
        outlet: Outlet,
        spools: list[Spool],
        *,
        root: Path,
        prepared: Callable[[], bool],
    ) -> None:
        """`prepared` says whether the topics are there."""
        self._publisher = publisher
        self._outlet = outlet
        self._spools = spools
        self._root = root
        self._prepared = prepared
        self._adopted_at = 0.0
        self._not_moved_at = -HELD_S

    async def run(self, stop: asyncio.Event) -> None:
        wait = 0.0
        while not await lifecycle.wait_or_stop(wait, stop):
            try:
                await self._probe()
                held = await self._drain_all(stop)
                wait = HELD_S if held else PROBE_S / 10
            except Unavailable as outage:
                self._outlet.lose(str(outage))
                wait = PROBE_S
            except Refused as refused:
                self._outlet.regain()  # Kafka has answered; it is the disk that does not
                log.error("spool_not_drained", extra={"reason": str(refused)})
                wait = HELD_S

    async def tend(self, stop: asyncio.Event) -> None:
        """Measure, open what could not be opened, take over what others left, and move what
        damaged files hold.
        """
        while True:
            await self._open_closed()
            await self._outlet.own.try_writing()
            await self._measure()
            if time.monotonic() - self._adopted_at > ADOPT_S:
                await self._adopt()
            more = await self._rescue()
            if await lifecycle.wait_or_stop(0.0 if more else TEND_S, stop):
                return

    async def _probe(self) -> None:
        """Raises:
        Unavailable: Kafka does not answer, or has not our topics yet.
        """
        if not self._prepared():
            raise Unavailable("Kafka: the topics are not there yet")
        if self._outlet.away or time.monotonic() - self._outlet.acked_at > PROBE_S:
            await self._publisher.ping()
            self._outlet.acked_at = time.monotonic()
        if not any(spool.events for spool in self._spools):
            self._outlet.regain()

    async def _drain_all(self, stop: asyncio.Event) -> int:
        """How many records stay because Kafka refuses them."""
        held = 0
        for spool in [*self._spools[1:], self._outlet.own]:
            if spool.is_open and (spool.events or spool.has_gaps):
                held += await self._drain(spool, stop)
            if spool is not self._outlet.own and spool.is_spent and not stop.is_set():
                await self._let_go(spool)
        return held

    async def _drain(self, spool: Spool, stop: asyncio.Event) -> int:
        """From its first record to its last, what comes meanwhile included."""
        held: set[int] = set()
        refused = drained = 0
        last: Waiting | None = None
        kept = ""
        while not stop.is_set():
            heart.beat()
            batch = await spool.head(last, BATCH, BATCH_BYTES)
            if not batch:
                break
            last = batch[-1]
            sent = await self._send([each for each in batch if each.bucket not in held])
            self._outlet.regain()
            kept = await self._remove(spool, sent, kept)
            drained += len(sent)
            gone = {each.id for each in sent}
            held |= {each.bucket for each in batch if each.id not in gone}
            refused += len(batch) - len(sent)
        if drained and not spool.events:
            log.warning("spool_drained", extra={"records": drained})
        if spool.has_gaps:
            await spool.begin_anew()
        return refused

    async def _send(self, batch: Sequence[Waiting]) -> list[Waiting]:
        """Those that Kafka took; if it does not take all at once, halved until the culprit stands
        alone.

        Raises:
            Unavailable: Kafka is away.
        """
        if not batch:
            return []
        heart.beat()
        try:
            await self._publisher.publish([each.record for each in batch])
        except Unavailable as outage:
            await self._publisher.ping()
            if len(batch) == 1:
                SPOOL_HELD.inc()
                extra = {"topic": batch[0].record.topic, "reason": str(outage)}
                log.error("spool_record_held", extra=extra)
                return []
            half = len(batch) // 2
            return [*await self._send(batch[:half]), *await self._send(batch[half:])]
        SPOOL_DRAINED.inc(len(batch))
        return list(batch)

    async def _remove(self, spool: Spool, sent: Sequence[Waiting], kept: str) -> str:
        """Why the disk does not let go of them; said if it is not what `kept` says."""
        try:
            await spool.remove(sent)
        except Refused as refused:
            if str(refused) != kept:
                log.error("spool_not_drained", extra={"reason": str(refused)})
            return str(refused)
        return ""

    async def open_own(self) -> None:
        await self._open(self._outlet.own)

    async def _open_closed(self) -> None:
        for spool in [*self._spools]:
            # One that was let go of meanwhile is closed for good.
            if spool in self._spools and not spool.is_open:
                await self._open(spool)

    async def _open(self, spool: Spool) -> None:
        try:
            await spool.open()
        except Refused as refused:
            log.error("spool_not_opened", extra={"reason": str(refused)})

    async def _rescue(self) -> bool:
        """Whether there is more, and the disk gives and takes it."""
        if time.monotonic() - self._not_moved_at < HELD_S:
            return False
        try:
            return any([await self._moved_some(spool) for spool in [*self._spools]])
        except (Refused, Withheld) as reason:
            self._not_moved_at = time.monotonic()
            log.error("spool_not_drained", extra={"reason": str(reason)})
            return False

    async def _moved_some(self, spool: Spool) -> bool:
        """Whether there is more."""
        for _ in range(MOVES):
            heart.beat()
            if not await spool.rescue():
                return False
        return True

    async def _measure(self) -> None:
        oldest: list[float] = []
        for spool in self._spools:
            if spool.is_open:
                try:
                    stored_at = await spool.oldest()
                except Refused:
                    continue  # it says so itself
                oldest += [] if stored_at is None else [stored_at]
        SPOOL_EVENTS.set(sum(spool.events for spool in self._spools))
        SPOOL_BYTES.set(sum(spool.bytes for spool in self._spools))
        SPOOL_AGE.set(max(0.0, time.time() - min(oldest)) if oldest else 0.0)

    async def _adopt(self) -> None:
        self._adopted_at = time.monotonic()
        own = self._outlet.own.slot
        if own is None:
            return
        found = await asyncio.to_thread(lambda: list(slots.orphans(self._root, own.folder)))
        for slot in found:
            spool = Spool(partial(_the, slot), max_bytes=0)
            try:
                await spool.open()
            except Refused as refused:
                log.error("spool_not_opened", extra={"reason": str(refused)})
                await spool.close()
                continue
            self._spools.append(spool)
            log.warning("spool_adopted", extra={"slot": slot.folder, "records": spool.events})

    async def _let_go(self, spool: Spool) -> None:
        self._spools.remove(spool)
        await spool.close(leave_nothing=True)


def _the(slot: Slot) -> Slot:
    return slot
