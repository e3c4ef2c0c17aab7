"""Moves what waits in the spools to Kafka, and finds out whether Kafka accepts records.

Rule 1: oldest first; a record leaves the spool after Kafka has acked it. A crash in between sends
        it twice.
Rule 2: what Kafka refuses, or does not ack, while it accepts others holds up its own key only; it
        is retried for ever, and logged once. Records whose topic is missing wait for the topic.
Rule 3: what Kafka has acked is not sent again by this process, even where the disk fails to delete
        it; once all is sent, the file is removed as a whole.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from services.ingest.outlet import Outlet
from services.ingest.preparing import WRITTEN
from services.ingest.spool.file import DiskRefused, Waiting
from services.ingest.spool.spool import Spool
from services.ingest.spool.spools import Spools
from shared import heart, lifecycle, service
from shared.errors import Unavailable
from shared.kafka.client import Late
from shared.kafka.offsets import Partition
from shared.kafka.publisher import Publisher
from shared.observability import SPOOL_DRAINED, SPOOL_HELD

log = logging.getLogger(__name__)

BATCH: Final = 500
BATCH_BYTES: Final = 1024 * 1024
PROBE_S: Final = 1.0
HELD_S: Final = 5.0
SHOWN: Final = 3
"""Most partitions named in a reason."""
LATE: Final = "late"
DISK: Final = "disk"
NOT_YET: Final = "Kafka: the topics do not exist yet"


class Draining:
    def __init__(
        self, publisher: Publisher, outlet: Outlet, spools: Spools, *, prepared: Callable[[], bool]
    ) -> None:
        """`prepared` says whether the topics exist."""
        self._publisher = publisher
        self._outlet = outlet
        self._spools = spools
        self._prepared = prepared
        self._ailing: Sequence[Partition] = ()
        self._is_partial = False
        self._told: set[tuple[str, str]] = set()
        self._drained = 0

    async def run(self, stop: asyncio.Event) -> None:
        wait = 0.0
        while not await lifecycle.wait_or_stop(wait, stop):
            try:
                await self._probe()
                held = await self._drain_all(stop)
                wait = HELD_S if held else PROBE_S / 10
                if not held:
                    self._told.clear()
                    self._tell_drained()
            except Unavailable as outage:
                self._outlet.lose(str(outage))
                wait = PROBE_S
            except DiskRefused as refused:
                self._outlet.regain()  # Kafka works; it is the disk that fails
                if self._is_news(DISK, str(refused)):
                    log.error("spool_not_drained", extra={"reason": str(refused)})
                wait = HELD_S

    async def _probe(self) -> None:
        """If some topics cannot be created, the existing ones do not wait for them.

        Raises:
            Unavailable: Kafka does not answer, or does not have our topics yet.
        """
        if not self._prepared() and lifecycle.reason_of(service.TOPICS) is None:
            raise Unavailable(NOT_YET)
        silent = time.monotonic() - self._outlet.acked_at > PROBE_S
        if silent or self._outlet.away or self._outlet.missing:
            await self._look()
            self._outlet.acked_at = time.monotonic()
        if not any(spool.is_open and spool.events for spool in self._spools):
            self._outlet.regain()  # else the first record that it takes shows it

    def _tell_drained(self) -> None:
        if self._drained and self._outlet.is_steady and not self._spools.events:
            log.warning("spool_drained", extra={"records": self._drained})
            self._drained = 0

    async def _look(self) -> None:
        """Raises:
        Unavailable: Kafka does not answer, or has none of our topics yet.
        """
        view = await self._publisher.view()
        missing = WRITTEN - view.topics
        if missing == WRITTEN and not self._prepared():
            raise Unavailable(lifecycle.reason_of(service.TOPICS) or NOT_YET)
        self._outlet.know(missing)
        self._ailing = [each for each in view.ailing if each.topic in WRITTEN]
        self._is_partial = any(each.topic in WRITTEN for each in view.sound)

    async def _drain_all(self, stop: asyncio.Event) -> int:
        """How many records stay because Kafka refuses them."""
        held = 0
        own = self._spools.own
        for spool in (*self._spools.taken_over, own):
            if spool.is_open and (spool.events or spool.has_gaps):
                held += await self._drain(spool, stop)
            if spool is not own and spool.is_spent and not stop.is_set():
                await self._spools.let_go(spool)
        return held

    async def _drain(self, spool: Spool, stop: asyncio.Event) -> int:
        """From its first record to its last, including what arrives meanwhile."""
        held: set[int] = set()
        refused = 0
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
            self._drained += len(sent)
            gone = {each.id for each in sent}
            held |= {each.bucket for each in batch if each.id not in gone}
            refused += len(batch) - len(sent)
        if spool.has_gaps:
            await spool.begin_anew()
        return refused

    async def _send(self, batch: Sequence[Waiting]) -> list[Waiting]:
        """Those that Kafka took. A refused batch is halved until the culprit is found; what Kafka
        does not answer for stays.

        Raises:
            Unavailable: Kafka is away.
        """
        batch = [each for each in batch if each.record.topic not in self._outlet.missing]
        if not batch:
            return []
        heart.beat()
        try:
            fates = await self._publisher.attempt([each.record for each in batch])
        except Unavailable:
            await self._look()
            if self._outlet.missing.intersection(each.record.topic for each in batch):
                return await self._send(batch)
            raise
        told = list(zip(batch, fates, strict=True))
        sent = [each for each, fate in told if fate is None]
        SPOOL_DRAINED.inc(len(sent))
        if len(sent) < len(batch):
            await self._look()
        late = [each for each, fate in told if isinstance(fate, Late)]
        if len(late) == len(batch) and not (self._ailing and self._is_partial):
            raise Late(self._unanswered(self._ailing))
        for each in late:
            ailing = [one for one in self._ailing if one.topic == each.record.topic]
            self._hold(each, self._unanswered(ailing), LATE)
        refused = [(each, fate) for each, fate in told if fate and not isinstance(fate, Late)]
        return [*sent, *await self._halved(refused, is_alone=len(batch) == 1)]

    async def _halved(
        self, refused: Sequence[tuple[Waiting, Unavailable]], *, is_alone: bool
    ) -> list[Waiting]:
        if is_alone:
            for each, fate in refused:
                self._hold(each, str(fate))
            return []
        half = (len(refused) + 1) // 2
        parts = (refused[:half], refused[half:])
        return [sent for part in parts for sent in await self._send([each for each, _ in part])]

    def _unanswered(self, ailing: Sequence[Partition]) -> str:
        if not ailing:
            return "Kafka: no acknowledgement in time"
        named = ", ".join(f"{topic} {number}" for topic, number in ailing[:SHOWN])
        more = f" and {len(ailing) - SHOWN} more" if len(ailing) > SHOWN else ""
        return f"Kafka: no leader, or too few in-sync replicas, for {named}{more}"

    def _hold(self, waiting: Waiting, reason: str, kind: str | None = None) -> None:
        """Logged once per topic and reason, or per kind of reason: the details of an outage vary
        while it lasts.
        """
        SPOOL_HELD.inc()
        topic = waiting.record.topic
        if self._is_news(topic, kind or reason):
            log.error("spool_record_held", extra={"topic": topic, "reason": reason})

    def _is_news(self, what: str, reason: str) -> bool:
        """Whether it is told for the first time since everything was drained."""
        is_news = (what, reason) not in self._told
        self._told.add((what, reason))
        return is_news

    async def _remove(self, spool: Spool, sent: Sequence[Waiting], kept: str) -> str:
        """Why the disk does not delete them; logged unless it is what `kept` says."""
        try:
            await spool.remove(sent)
        except DiskRefused as refused:
            if str(refused) != kept:
                log.error("spool_not_drained", extra={"reason": str(refused)})
            return str(refused)
        return ""
