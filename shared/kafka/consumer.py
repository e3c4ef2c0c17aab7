"""Applies the log to a store, each record's effects exactly once.

Rule 1: a batch's effects and its next offsets are one Postgres transaction; Kafka's own commit is
        a hint for lag tools.
Rule 2: a record is dead-lettered only for `Poison`, after the culprit was singled out.
Rule 3: an outage (`Unavailable`) is waited out, never skipped; a stop ends the wait uncommitted.
Rule 4: any other error is a bug and ends the process.
Rule 5: a consumer that is alive but makes no progress while the log grows is rebuilt; so is one
        that gets no answer while others do. If its group waits for a member, it waits, too, for as
        long as members may take.
Rule 6: records that the caller skips are not parsed; the offset moves all the same.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError

from shared import db, heart, lifecycle, planner
from shared.errors import Poison, Unavailable
from shared.kafka import client, dead_letters, fetch_sessions, offsets, sharing
from shared.kafka.assignment import Assignment, Broken
from shared.kafka.items import Item, PassesOver, read
from shared.kafka.offsets import Partition, Superseded
from shared.kafka.publisher import Publisher
from shared.kafka.reach import Reach
from shared.observability import BATCH_SECONDS, CONSUMER_RESTARTS, LAG, LINE_STOPPED, RECORDS
from shared.pacing import Pace
from shared.settings import StoreSettings
from shared.topics import Topic

log = logging.getLogger(__name__)

POLL_MS = 500
JOINING_MS = 100
NOWHERE = TopicPartition("", 0)
PACE = Pace(times=1.0, least_s=0.005, most_s=0.1, much=200)
"""At 200 events/s this halves the CPU time of the pipe, and with it the time to the page."""
AT_ONCE = 100
"""Records parsed before the process does something else."""
HINT_EVERY_S = 0.5
"""A sync uses the hints, so as not to run too far ahead of the consumers."""
HINT_AGAIN_S = 10.0
"""After a hint that failed: records must not wait for hints."""
STUCK_S = 30.0
METADATA_MS = 30_000
"""A topic that was deleted and made anew is noticed after this long at the latest."""
START_S = 20.0
PING_S = 1.5
SESSION_MS = 10_000
HEARTBEAT_MS = 1_000
"""Others learn of a leaving member with their next heartbeat; its partitions wait until then."""
REBALANCE_MS = 30_000
FOREVER_MS = 24 * 3600 * 1000
"""Outages are waited out without leaving the group; rule 5 replaces the broker's check."""
REBALANCE_LOOK_S = 2.0
"""Longer than any poll: whether the consumer is to stop, or to be rebuilt, during a rebalance."""


class Received(NamedTuple):
    """`topic` is the name in the contract."""

    topic: str
    fact: Any


class AfterCommit(Protocol):
    """Awaited once the transaction has ended: `committed`, or the outcome is unknown."""

    async def __call__(self, *, committed: bool) -> None: ...


Apply = Callable[[db.Connection, Sequence[Received]], Awaitable[AfterCommit | None]]
"""Applies facts inside the caller's transaction."""


class Consumer:
    """One member of a service's consumer group."""

    def __init__(
        self,
        settings: StoreSettings,
        *,
        service: str,
        topics: Sequence[Topic],
        pool: db.Pool,
        apply: Apply,
        publisher: Publisher,
        pace: Pace = PACE,
        passes_over: PassesOver | None = None,
    ) -> None:
        self._settings = settings
        self._group = client.group(settings, service)
        self._models = {client.physical(settings, t.name): t for t in topics}
        self._pool = pool
        self._apply = apply
        self._passes_over = passes_over
        self._publisher = publisher
        self._reach = Reach(publisher, topics)
        self._limit = dead_letters.Limit(settings.dead_letter_limit)
        self._aside: set[tuple[Partition, int]] = set()
        self._assignment = Assignment(pool)
        self._consumer: AIOKafkaConsumer | None = None
        self._wanted = asyncio.Event()
        self._progressed_at = time.monotonic()
        self._hinted: dict[TopicPartition, int] = {}
        self._hinting: asyncio.Task[None] | None = None
        self._hint_at = 0.0
        self._asked: set[asyncio.Timeout] = set()
        self._pace = pace
        self._rest_s = 0.0
        self._is_behind = False
        self._outage = lifecycle.Outage("consumer")
        self._was_away = False

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            heart.beat()
            try:
                await self._session(stop)
            except (Broken, Unavailable) as trouble:
                kind = Broken if isinstance(trouble, Broken) else Unavailable
                CONSUMER_RESTARTS.labels(kind.__name__).inc()
                if str(trouble) != self._outage.reason:
                    log.warning("consumer_restarts", extra={"reason": str(trouble)})
                await lifecycle.wait_or_stop(self._outage.goes_on(trouble), stop)

    async def watch(self, stop: asyncio.Event) -> None:
        """Measure lag, and detect a consumer that makes no progress (rule 5). Also keeps planner
        statistics of growing tables up to date.
        """
        while not await lifecycle.wait_or_stop(STUCK_S / 6, stop):
            try:
                behind = await self._measure_lag()
            except Unavailable:
                if await self._reach.lost_s() > STUCK_S:
                    self._give_up("Kafka answers others, but not this consumer")
                continue  # Kafka is away: no progress is expected
            self._reach.is_there()
            if not behind:
                self._progressed_at = time.monotonic()
                if self._assignment.joined:
                    self._outage.is_over()  # known without waiting for a record
            self._give_up(f"{behind} records behind and making no progress")
            with contextlib.suppress(Unavailable):
                await planner.inform(self._pool)

    def _give_up(self, reason: str) -> None:
        """Have the consumer rebuilt, unless it makes progress, a batch waits for Postgres, or the
        group for a member.
        """
        longest_s = STUCK_S if self._assignment.placed() else STUCK_S + REBALANCE_MS / 1000
        if time.monotonic() - self._progressed_at > longest_s and not self._assignment.busy:
            self._assignment.broken = Broken(reason)
            self._progressed_at = time.monotonic()

    async def ping(self) -> str | None:
        """What is away, if anything, that readers of the store can do without.

        Raises:
            Unavailable: the consumer is stopped, or has not joined the group, and why.
        """
        if self._limit.stopped:
            raise Unavailable("stopped: too many dead letters")
        try:
            async with asyncio.timeout(PING_S):
                await self._publisher.ping()
        except (Unavailable, TimeoutError) as outage:
            self._was_away = True
            return f"waiting for Kafka: {str(outage) or 'no answer in time'}"
        if not self._assignment.joined:
            reason = self._outage.reason or "not yet a member of the consumer group"
            if self._was_away:  # ready without Kafka, and so also while it comes back
                return f"waits: {reason}"
            raise Unavailable(reason)
        self._was_away = False
        return f"waits: {self._outage.reason}" if self._outage.reason else None

    async def _session(self, stop: asyncio.Event) -> None:
        consumer = AIOKafkaConsumer(
            **client.connection(self._settings),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # else a truncated or replaced log would be skipped silently
            max_poll_interval_ms=FOREVER_MS,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            max_partition_fetch_bytes=client.MAX_MESSAGE_BYTES,
            metadata_max_age_ms=METADATA_MS,
        )
        self._wanted = fetch_sessions.keep(consumer)
        self._assignment.attach(consumer)
        self._hinted = {}
        consumer.subscribe(topics=list(self._models), listener=self._assignment)
        try:
            with client.errors():
                # By default a silent broker gets longer than a loop may be stuck.
                async with asyncio.timeout(START_S):
                    await consumer.start()
            self._consumer = consumer
            while not stop.is_set():
                await self._turn(consumer, stop)
        finally:
            self._consumer = None
            await self._leave(consumer)

    async def _turn(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        await asyncio.sleep(self._rest_s)
        heart.beat()
        self._assignment.check()
        epoch = self._assignment.epoch
        batches = await self._fetch(consumer)
        began = time.monotonic()
        async with self._assignment.working():
            if batches and epoch != self._assignment.epoch:
                # What was handed out before a rebalance cannot be told from what came after it.
                await self._assignment.resume()
                return
            items = await self._read(batches)
            if items:
                await self._settle(items, epoch, stop)
        self._rest_s = self._pace.rest(time.monotonic() - began, len(items)) if items else 0.0
        self._hint(consumer)

    async def _fetch(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, list[Any]]:
        """All that has arrived, up to a batch.

        The client sends the next fetch as soon as it has handed out everything, and the broker
        answers with the first new record; the next batch would be that one alone. Delayed until it
        is needed, the fetch returns all that arrived meanwhile. Partitions that were assigned but
        have no position yet are not requested; if none is left, nothing is, since without names
        the client would return all. If more is waiting than fits, partitions share the next batch.

        Raises:
            Unavailable: Kafka is away, or no longer has the next records of some partition.
        """
        self._wanted.set()
        placed, most = self._assignment.placed(), self._settings.batch_records
        batches: Mapping[TopicPartition, list[Any]] = {}
        # After a rebalance in between, partitions that come back have no position for a moment;
        # then all are read from the store's position again, even those of which something was
        # taken here. While a rebalance goes on the client waits for its end, however long.
        with client.errors(), contextlib.suppress(NoOffsetForPartitionError, TimeoutError):
            async with asyncio.timeout(REBALANCE_LOOK_S):
                if self._is_behind:
                    batches = await sharing.share(consumer, placed, most)
                if not batches:
                    batches = await consumer.getmany(
                        *(placed or (NOWHERE,)),
                        timeout_ms=POLL_MS if placed else JOINING_MS,
                        max_records=most,
                    )
        if batches:
            self._wanted.clear()
        self._is_behind = sum(map(len, batches.values())) >= most
        return batches

    async def _read(self, batches: Mapping[TopicPartition, list[Any]]) -> list[Item]:
        """In parts: the process may have requests to answer meanwhile."""
        items: list[Item] = []
        for partition, records in _by_partition(batches):
            for record in records:
                if not self._assignment.wants(partition, record.offset):
                    continue
                topic = self._models[partition.topic]
                items.append(read(partition, topic, record, self._passes_over))
                if len(items) % AT_ONCE == 0:
                    await asyncio.sleep(0)
        return items

    async def _settle(self, items: list[Item], epoch: int, stop: asyncio.Event) -> None:
        """Apply all; if there is poison among them, halve until it is isolated."""
        self._aside.clear()
        parts = [items]
        while parts and not stop.is_set():
            part = parts.pop()
            within = self._within_limit(part)
            if part[within:]:
                parts.append(part[within:])
                part = part[:within]
            try:
                settled = await self._persist(part, epoch, stop)
            except Poison as poison:
                half = len(part) // 2
                alone = [replace(part[0], outcome=poison)]
                parts.extend([part[half:], part[:half]] if half else [alone])
                continue
            if not settled:
                return

    def _within_limit(self, items: list[Item]) -> int:
        """How many of them to settle before the limit is checked again: a batch may hold more
        poison than may be dead-lettered.
        """
        fresh = [place for place, item in enumerate(items) if item.is_fresh_poison]
        beyond = fresh[self._limit.left(now=time.monotonic()) :]
        return beyond[0] if beyond else len(items)

    async def _persist(self, items: list[Item], epoch: int, stop: asyncio.Event) -> bool:
        """Commit a part, waiting out outages. False: given up because of a stop or another
        epoch.
        """
        while True:
            heart.beat()
            if epoch != self._assignment.epoch:
                await self._assignment.resume()
                return False
            try:
                await self._commit(items, epoch, stop)
            except Superseded as superseded:
                log.warning("superseded", extra={"reason": str(superseded)})
                await self._assignment.resume()
                return False
            except Unavailable as outage:
                log.debug("batch_waits", extra={"reason": str(outage), "records": len(items)})
                if await lifecycle.wait_or_stop(self._outage.goes_on(outage), stop):
                    return False
            else:
                return not stop.is_set()

    async def _commit(self, items: list[Item], epoch: int, stop: asyncio.Event) -> None:
        began = time.perf_counter()
        await self._put_aside([item for item in items if isinstance(item.outcome, Poison)], stop)
        if stop.is_set():
            return
        facts = [
            Received(item.topic, item.outcome)
            for item in items
            if item.outcome is not None and not isinstance(item.outcome, Poison)
        ]
        moves = self._assignment.moves(items, epoch)
        after: AfterCommit | None = None
        committed = False
        try:
            with db.errors():
                async with self._pool.acquire() as conn, conn.transaction():
                    await offsets.advance(conn, moves)
                    if facts:
                        after = await self._apply(conn, facts)
            committed = True
        finally:
            if after is not None:
                await after(committed=committed)
        self._assignment.moved(moves, epoch)
        self._committed(items, time.perf_counter() - began)

    def _committed(self, items: list[Item], seconds: float) -> None:
        self._progressed_at = time.monotonic()
        self._outage.is_over()
        fresh = sum(not item.attempts for item in items)
        dead = sum(item.is_fresh_poison for item in items)
        self._limit.record(records=fresh, dead=dead, now=self._progressed_at)
        BATCH_SECONDS.observe(seconds)
        for topic, records in Counter(item.topic for item in items).items():
            RECORDS.labels(topic).inc(records)

    async def _put_aside(self, items: list[Item], stop: asyncio.Event) -> None:
        """Each once, however often its batch is halved and retried."""
        items = [item for item in items if item.place not in self._aside]
        if not items:
            return
        if self._limit.stopped:
            LINE_STOPPED.set(1)
            log.error("line_stopped", extra={"reason": str(items[0].outcome)})
            await lifecycle.idle(stop)
            return
        now = datetime.now(UTC)
        for item in items:
            log.error(
                "dead_lettered",
                extra={
                    "topic": item.topic,
                    "partition": item.partition.number,
                    "offset": item.offset,
                    "reason": str(item.outcome),
                },
            )
        await dead_letters.put_aside(
            self._publisher, [item.letter(reader=self._group, now=now) for item in items]
        )
        self._aside.update(item.place for item in items)

    def _hint(self, consumer: AIOKafkaConsumer) -> None:
        """One at a time, and beside the work: while a coordinator is being found, or is loading
        its state, the client keeps retrying.
        """
        if time.monotonic() < self._hint_at or self._hinting is not None:
            return
        self._hint_at = time.monotonic() + HINT_EVERY_S
        hint = self._assignment.hint(self._hinted)
        if hint:
            self._hinting = asyncio.get_running_loop().create_task(self._tell(consumer, hint))

    async def _tell(self, consumer: AIOKafkaConsumer, hint: dict[TopicPartition, int]) -> None:
        try:
            await consumer.commit(hint)
            self._hinted |= hint
        except KafkaError as error:
            self._hint_at = time.monotonic() + HINT_AGAIN_S
            log.debug("offset_hint_failed", extra={"reason": repr(error)})
        finally:
            self._hinting = None

    async def ends(self) -> dict[Partition, int]:
        """The end of the log, in each partition that this member has.

        Raises:
            Unavailable: Kafka is away.
        """
        consumer = self._consumer
        if consumer is None:
            return {}
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S) as deadline:
                self._asked.add(deadline)
                try:
                    ends = await consumer.end_offsets(list(consumer.assignment()))
                finally:
                    self._asked.discard(deadline)
        return {Partition(*name): end for name, end in ends.items()}

    async def _measure_lag(self) -> int:
        behind = dict.fromkeys((t.name for t in self._models.values()), 0)
        for partition, end in (await self.ends()).items():
            position = self._assignment.position(partition)
            behind[self._models[partition.topic].name] += max(0, end - (position or 0))
        for topic, records in behind.items():
            LAG.labels(topic).set(records)
        return sum(behind.values())

    async def _leave(self, consumer: AIOKafkaConsumer) -> None:
        self._assignment.detach()
        # A lookup that outlives the client would open a connection that nobody closes.
        for deadline in self._asked:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())
        hinting = self._hinting
        try:
            error = await client.stopped(consumer)
        finally:
            if hinting is not None:
                hinting.cancel()
        if error is not None:
            log.warning("leaving_failed", extra={"reason": repr(error)})


def _by_partition(
    batches: Mapping[TopicPartition, list[Any]],
) -> Iterator[tuple[Partition, list[Any]]]:
    return ((Partition(*place), records) for place, records in batches.items())
