"""Which partitions this member owns, and its position in each.

Rule 1: a partition starts at the offset in the store, never at Kafka's. If the log begins later
        than that, the store is first moved to its beginning: otherwise a partition without further
        records would wait for ever. If the log is truncated while it is read, the client stops,
        and the same is done.
Rule 2: before a partition is given up, the current batch is finished, within a deadline; after
        that the fence in the store keeps a late commit out.
Rule 3: the client swallows exceptions of a rebalance listener, so they are kept here and raised in
        the consumer's next turn.
Rule 4: a batch is settled in the epoch in which it was fetched, or not at all. An epoch ends with
        each rebalance, and with each return to the store's offsets; what was fetched in another
        need not begin at the store's position, and the fence only sees where a batch ends.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from shared import db
from shared.errors import Unavailable
from shared.kafka import client, offsets
from shared.kafka.offsets import Move, Partition, Superseded

log = logging.getLogger(__name__)

DRAIN_S = 20.0
"""Below the rebalance timeout, so that the group does not evict a member that is finishing."""


class Broken(Exception):
    """This consumer object cannot continue; a new one can."""


class Placed(Protocol):
    """Anything read at an offset of a partition."""

    @property
    def partition(self) -> Partition: ...
    @property
    def offset(self) -> int: ...


class Assignment(ConsumerRebalanceListener):
    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[Partition, int] = {}
        self._working = asyncio.Lock()
        self.epoch = 0
        self.broken: Broken | None = None
        self.joined = False

    def attach(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._next = {}
        self.broken = None

    def detach(self) -> None:
        self._next = {}
        self.joined = False

    def check(self) -> None:
        """Raises:
        Broken: something failed where it could not be raised.
        """
        if self.broken is not None:
            raise self.broken

    @property
    def busy(self) -> bool:
        return self._working.locked()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with self._working:
            yield

    def position(self, partition: Partition) -> int | None:
        return self._next.get(partition)

    def placed(self) -> Sequence[TopicPartition]:
        """Those that are read from the store's position."""
        return [TopicPartition(*partition) for partition in self._next]

    def wants(self, partition: Partition, offset: int) -> bool:
        """False for what was fetched before the partition moved on or away."""
        return offset >= self._next.get(partition, offset + 1)

    def moves(self, items: Iterable[Placed], epoch: int) -> Sequence[Move]:
        """From the store's position to after the last item of each partition.

        Raises:
            Superseded: the items are of another epoch.
        """
        if epoch != self.epoch:
            raise Superseded("partitions came or went since the batch was fetched")
        last = {item.partition: item.offset for item in items}
        return [Move(p, self._next[p], offset + 1) for p, offset in last.items()]

    def moved(self, moves: Iterable[Move], epoch: int) -> None:
        """Ignored in another epoch: the store's position was, or will be, read again."""
        if epoch == self.epoch:
            self._next |= {move.partition: move.next for move in moves}

    def hint(self, told: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Positions that differ from those already reported."""
        stands = {TopicPartition(*p): offset for p, offset in self._next.items() if offset}
        return {p: offset for p, offset in stands.items() if told.get(p) != offset}

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        try:
            async with asyncio.timeout(DRAIN_S), self._working:
                self._forget(revoked)
        except TimeoutError:
            log.warning("drain_deadline_passed")
            self._forget(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        try:
            await self._seek([Partition(p.topic, p.partition) for p in assigned])
            self.joined = True
        except (Unavailable, Broken) as trouble:
            self.broken = Broken(f"could not start at the stored offsets: {trouble}")

    async def resume(self) -> None:
        """Read again from the store's position, in every partition still owned."""
        try:
            await self._seek(list(self._next))
        except Unavailable as outage:
            self.broken = Broken(f"could not return to the stored offsets: {outage}")

    def _forget(self, revoked: Iterable[Any]) -> None:
        self.epoch += 1
        for p in revoked:
            self._next.pop(Partition(p.topic, p.partition), None)

    async def _seek(self, partitions: Sequence[Partition]) -> None:
        consumer, epoch = self._consumer, self.epoch
        if consumer is None or not partitions:
            return
        with db.errors():
            async with self._pool.acquire() as conn:
                stored = await offsets.load(conn, partitions)
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                named = [TopicPartition(*p) for p in partitions]
                starts = await consumer.beginning_offsets(named)
                ends = await consumer.end_offsets(named)
        lost = _lost(stored, starts, ends)
        if lost:
            await self._pass_over(lost)
        if epoch != self.epoch:
            return  # a rebalance took them; their new owners start at the store's position
        begins = stored | {move.partition: move.next for move in lost}
        for partition, offset in begins.items():
            consumer.seek(TopicPartition(*partition), offset)
        self._next |= begins
        self.epoch += 1

    async def _pass_over(self, lost: Sequence[Move]) -> None:
        for move in lost:
            log.error(
                "records_lost",
                extra={"partition": str(move.partition), "records": move.next - move.expected},
            )
        try:
            with db.errors():
                async with self._pool.acquire() as conn, conn.transaction():
                    await offsets.advance(conn, lost)
        except Superseded as superseded:
            raise Broken(str(superseded)) from superseded


def _lost(
    stored: Mapping[Partition, int],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Sequence[Move]:
    """From the store's position to the beginning of the log, for each partition that lost records.

    Raises:
        Broken: the log ends before the store's position.
    """
    for partition, offset in stored.items():
        end = ends[TopicPartition(*partition)]
        if offset > end:
            raise Broken(
                f"the store has read {partition} up to {offset}, but the log ends at {end}: was "
                "Kafka emptied? The store is ahead of the log: see docs/OPERATIONS.md"
            )
    begins = {partition: starts[TopicPartition(*partition)] for partition in stored}
    return [Move(p, offset, begins[p]) for p, offset in stored.items() if offset < begins[p]]
