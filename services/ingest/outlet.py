"""Where records leave ingest: to Kafka, or to the spool while Kafka does not take them.

Rule 1: a record is acked when Kafka has it on all replicas, or the disk has it.
Rule 2: once Kafka has failed, or not answered in time, it counts as away: what is in flight goes
        to the spool, and so does all that follows, until the draining finds Kafka back.
Rule 3: a record whose key has something waiting in a spool goes to the spool, behind it.
Rule 4: so does a record whose topic Kafka does not have; others go on.
Rule 5: records are never in fewer places than they were acked for, sometimes in more: what Kafka
        took without acking in time is spooled as well, and consumers tolerate duplicates.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.ingest.spool.spool import Handed, Spool
from services.ingest.spool.spools import Spools
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.kafka.rounds import Acked, Record
from shared.observability import KAFKA_AWAY

log = logging.getLogger(__name__)

GRACE_S: Final = 0.05
"""If a timer is this late, this process was busy rather than Kafka: acks may lie unread in the
socket."""

STEADY_S: Final = 5.0
"""How long Kafka must accept records until it counts as back."""


class Flight(NamedTuple):
    """Records in flight to Kafka."""

    handed: Sequence[Handed]
    due: float


class Outlet:
    """Starts as if Kafka were away: the draining finds out."""

    def __init__(self, publisher: Publisher, spools: Spools, *, deadline_s: float) -> None:
        self.acked_at = 0.0
        self.reason = "not checked yet"
        self.missing: frozenset[str] = frozenset()
        """Topics that Kafka does not have."""
        self._publisher = publisher
        self._spools = spools
        self._deadline_s = deadline_s
        self._flights: dict[Acked, Flight] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._there = asyncio.Event()
        self._back_at = 0.0
        self._is_told = False
        KAFKA_AWAY.set(1)

    @property
    def away(self) -> bool:
        return not self._there.is_set()

    @property
    def is_steady(self) -> bool:
        """Kafka has accepted records for a while: a slow one comes and goes every second."""
        return not self.away and time.monotonic() - self._back_at >= STEADY_S

    async def is_back(self, within_s: float) -> bool:
        """Whether Kafka accepts records, if need be after a wait."""
        try:
            async with asyncio.timeout(within_s):
                return await self._there.wait()
        except TimeoutError:
            return False

    @property
    def own(self) -> Spool:
        return self._spools.own

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once each is acked.

        Raises:
            Unavailable: some record is stored nowhere: Kafka is away and the spool refuses it.
        """
        loop = asyncio.get_running_loop()
        handed = [Handed(record, loop.create_future()) for record in records]
        self.hand_over(handed)
        await asyncio.wait([each.acked for each in handed])
        for each in handed:
            each.acked.result()

    def hand_over(self, handed: Sequence[Handed]) -> None:
        """In the given order per key; each record's owner learns its outcome."""
        if not self.away and not self._spools.events and not self.missing:
            self._send(handed)
            return
        if self.away and self.own.is_open:
            self.own.take(handed)
            return
        sent = [each for each in handed if not self._went_behind(each)]
        if sent:
            self._send(sent)

    def lose(self, reason: str) -> None:
        """Kafka is away: whatever is in flight goes to the spool, in order."""
        if not self.away:
            KAFKA_AWAY.set(1)
            if not self._is_told:
                log.warning("kafka_away", extra={"reason": reason})
            self._is_told = True
        self._there.clear()
        self.reason = reason
        flights, self._flights = self._flights, {}
        for acked in flights:
            acked.cancel()
        waiting = [
            each
            for flight in flights.values()
            for each in flight.handed
            if not each.acked.done()  # else its sender has hung up
        ]
        if waiting and self.own.is_open:
            self.own.take(waiting)
            return
        for each in waiting:
            each.acked.set_exception(Unavailable(f"Kafka: {reason}"))

    def regain(self) -> None:
        """Kafka accepts records again."""
        if self.away:
            self._back_at = time.monotonic()
            KAFKA_AWAY.set(0)
        elif self._is_told and self.is_steady:
            log.warning("kafka_back")
            self._is_told = False
        self._there.set()

    def know(self, missing: frozenset[str]) -> None:
        """Which topics Kafka does not have. Their records wait for them, and hold up no others."""
        if missing - self.missing:
            log.error("topics_missing", extra={"topics": sorted(missing)})
        self.missing = missing

    def _went_behind(self, each: Handed) -> bool:
        """Into the spool, if others of its key wait there. If the spool cannot be opened, Kafka is
        tried, away or not. And storing a record out of order beats refusing it because the spool
        is full or broken; a record without a topic has no other place.
        """
        if each.record.topic in self.missing:
            self.own.take([each])
            return True
        if not (self._spools.holds(each.record) and self.own.takes(each.record)):
            return False
        self.own.take([each])
        return True

    def _send(self, handed: Sequence[Handed]) -> None:
        loop = asyncio.get_running_loop()
        acked: Acked = loop.create_future()
        due = loop.time() + self._deadline_s
        self._flights[acked] = Flight(handed, due)
        acked.add_done_callback(self._landed)
        if self._timer is None:
            self._timer = loop.call_at(due, self._expire, due)
        self._publisher.hand_over([each.record for each in handed], acked)

    def _landed(self, acked: Acked) -> None:
        flight = self._flights.get(acked)
        if flight is None or acked.cancelled():
            return
        error = acked.exception()
        if isinstance(error, Unavailable):
            self.lose(str(error))
            return
        del self._flights[acked]
        self.acked_at = time.monotonic()
        for each in flight.handed:
            if not each.acked.done():
                if error is None:
                    each.acked.set_result(None)
                else:
                    each.acked.set_exception(error)

    def _expire(self, meant: float) -> None:
        """Check the oldest flight; runs again as long as there is one. While the spool accepts
        nothing, Kafka gets as long as the producer allows: else an event would be refused that is
        stored a moment later.
        """
        loop = asyncio.get_running_loop()
        self._timer = None
        first = next(iter(self._flights.values()), None)
        if first is None:
            return
        now = loop.time()
        if first.due > now:
            self._timer = loop.call_at(first.due, self._expire, first.due)
        elif now - meant > GRACE_S or self.own.trouble is not None:
            self._timer = loop.call_at(now + GRACE_S, self._expire, now + GRACE_S)
        else:
            self.lose(f"no acknowledgement within {self._deadline_s} s")
