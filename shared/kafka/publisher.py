"""Publishes records durably: done means acks=all.

Rule 1: every wait has a deadline of ours. An idempotent producer never expires a batch itself, so
        after the deadline the record's outcome is unknown and the caller gets `Unavailable`.
Rule 2: a producer that is broken or missed its deadline is discarded as a whole and replaced; what
        it still delivers late is a duplicate, which consumers tolerate.
Rule 3: what arrives while a round is in flight makes up the next: rounds grow with the load,
        nobody lingers to fill a batch, and a key's records keep the given order.
"""

import asyncio
import logging
import math
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Self, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder, MessageBatch
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import RecordMetadata

from shared.errors import Unavailable
from shared.kafka.client import (
    COPIES_OF_ACKED,
    LETTER_BYTES,
    absent,
    connection,
    errors,
    lacking,
    ours,
    physical,
)
from shared.kafka.offsets import Partition
from shared.kafka.rounds import Acked, Lane, Record
from shared.observability import PRODUCER_REBUILDS
from shared.positions import Position
from shared.settings import Settings
from shared.topics import Topic

__all__ = ["BATCH_BYTES", "Publisher", "Record"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Place = tuple[str, int]
"""A topic, as the cluster names it, and a partition of it."""

STOP_S = 3.0
QUIET_S = 60.0
"""A failure after so long without one belongs to another outage."""
METADATA_MS = 5_000
TOPIC_S = 2.0
"""How long a topic may be unknown before the caller is told that it does not exist: less than any
deadline, so that the error names the reason and not a timeout.
"""
BATCH_BYTES = 256 * 1024
# Smaller batches hardly shrink, and compressing takes as long as sending a few more records.
COMPRESSED_BYTES = 4 * 1024
NO_CODEC = 0
NOBODY = -1


class View(NamedTuple):
    """Which of our topics the cluster has. Ailing partitions have no leader, or fewer in-sync
    replicas than acks require.
    """

    topics: frozenset[str]
    ailing: Sequence[Partition]
    sound: Sequence[Partition]


class Publisher:
    """One producer for the process. Starts on first use; leave the context to close it."""

    def __init__(self, settings: Settings, *, deadline_s: float) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._graves: set[asyncio.Task[None]] = set()
        self._handing = asyncio.Lock()
        self._lane = Lane(self._send_in_time, deadline_s=deadline_s)
        self._failed_at = -math.inf

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lane.close()
        self._give_up()
        if self._graves:
            await asyncio.wait(self._graves, timeout=2 * STOP_S + 1)

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once every record is acked by all replicas, in the order given per key.

        Raises:
            Unavailable: some record was not acked in time; any of them may still arrive.
        """
        acked = asyncio.get_running_loop().create_future()
        self._lane.add(records, acked)
        await acked

    async def place(self, records: Sequence[Record]) -> Sequence[Position]:
        """As `publish`, outside its rounds: returns each record's log position.

        Raises:
            Unavailable: as `publish`.
        """
        return await self._in_time(lambda producer: self._placed(producer, records))

    async def attempt(self, records: Sequence[Record]) -> Sequence[Unavailable | None]:
        """As `publish`, outside its rounds: returns why each was not acked, null if it was.
        Records of a partition share their outcome, and wait for no other partition's.

        Raises:
            Unavailable: none was sent.
        """
        with errors():
            async with asyncio.timeout(self._deadline_s):
                producer = await self._ready()
                places = await self._places(producer, records)
        async with asyncio.TaskGroup() as tasks:
            fates = {
                place: tasks.create_task(self._fate(producer, place, group))
                for place, group in _grouped(places, records).items()
            }
        outage = next(filter(None, (fate.result() for fate in fates.values())), None)
        self._look_back(producer, outage)
        return [fates[place].result() for place in places]

    def hand_over(self, records: Sequence[Record], acked: Acked) -> None:
        """As `publish`, but `acked` gets the result, `Unavailable` included. Records whose future
        is cancelled before their round starts are left out.
        """
        self._lane.add(records, acked)

    async def ping(self, topics: Iterable[Topic] = ()) -> None:
        """Raises:
        Unavailable: the cluster does not answer, or lacks some of the topics.
        """
        reason = lacking(self._settings, topics, (await self.view()).topics)
        if reason:
            raise Unavailable(reason)

    async def view(self) -> View:
        """Topics by their names in the contract.

        Raises:
            Unavailable: the cluster does not answer.
        """
        cluster = await self._in_time(lambda producer: producer.client.fetch_all_metadata())
        topics: set[str] = set()
        states: dict[bool, list[Partition]] = {True: [], False: []}
        for name in cluster.topics():
            for topic in ours(self._settings, [name]):
                topics.add(topic)
                for number, ails in _ailing(cluster, name):
                    states[ails].append(Partition(topic, number))
        return View(frozenset(topics), sorted(states[True]), states[False])

    async def _send_in_time(self, records: Sequence[Record]) -> None:
        if not records:
            return
        await self._in_time(lambda producer: self._send(producer, records))

    async def _in_time(self, send: Callable[[AIOKafkaProducer], Awaitable[T]]) -> T:
        producer: AIOKafkaProducer | None = None
        try:
            with errors():
                async with asyncio.timeout(self._deadline_s):
                    producer = await self._ready()
                    return await send(producer)
        except Unavailable as outage:
            self._look_back(producer, outage)
            raise

    def _look_back(self, producer: AIOKafkaProducer | None, outage: Unavailable | None) -> None:
        """After a use of the producer: one that failed is discarded. In an outage this repeats
        every few seconds, and is logged once.
        """
        if outage is None or producer is None or producer is not self._producer:
            return
        now = time.monotonic()
        if now - self._failed_at > QUIET_S:
            log.warning("producer_given_up", extra={"reason": str(outage)})
        self._failed_at = now
        PRODUCER_REBUILDS.inc()
        self._give_up()

    async def _fate(
        self, producer: AIOKafkaProducer, place: Place, records: Sequence[Record]
    ) -> Unavailable | None:
        topic, partition = place
        try:
            with errors():
                async with asyncio.timeout(self._deadline_s):
                    for batch in _batches(records):
                        delivered = await _handed(producer, batch, topic, partition)
                        await _known(producer, topic, delivered)
        except Unavailable as outage:
            return outage
        return None

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
        # One after the other: a round that waits for a topic's metadata must not be overtaken.
        async with self._handing:
            pending = await self._hand(producer, await self._places(producer, records), records)
        for (topic, _), _, delivered in pending:
            await _known(producer, topic, delivered)

    async def _placed(
        self, producer: AIOKafkaProducer, records: Sequence[Record]
    ) -> Sequence[Position]:
        places = await self._places(producer, records)
        offsets: dict[Place, list[int]] = defaultdict(list)
        for place, count, delivered in await self._hand(producer, places, records):
            first = (await _known(producer, place[0], delivered)).offset
            if first < 0:
                # The producer itself sent it twice, so the broker has it but lost its offset. All
                # of them once more, behind the first copies, do no harm.
                return await self._placed(producer, records)
            offsets[place] += range(first, first + count)
        following = {place: iter(found) for place, found in offsets.items()}
        return [
            Position(record.topic, place[1], next(following[place]))
            for place, record in zip(places, records, strict=True)
        ]

    async def _hand(
        self, producer: AIOKafkaProducer, places: Sequence[Place], records: Sequence[Record]
    ) -> list[tuple[Place, int, asyncio.Future[RecordMetadata]]]:
        """By batches: the partition, the number of records, and a future for the result."""
        pending = []
        for place, group in _grouped(places, records).items():
            for batch in _batches(group):
                count = batch.record_count()
                pending.append((place, count, await _handed(producer, batch, *place)))
        return pending

    async def _places(
        self, producer: AIOKafkaProducer, records: Iterable[Record]
    ) -> Sequence[Place]:
        """The partition of each record, in order."""
        names: dict[str, tuple[str, int]] = {}
        places = []
        for record in records:
            if record.topic not in names:
                name = physical(self._settings, record.topic)
                names[record.topic] = name, await _partitions(producer, name)
            name, partitions = names[record.topic]
            places.append((name, _partition(record, partitions)))
        return places

    async def _ready(self) -> AIOKafkaProducer:
        return self._producer or await self._start()

    async def _start(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is not None:
                return self._producer
            producer = AIOKafkaProducer(
                **connection(self._settings),
                transactional_id=transactional_id,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_request_size=LETTER_BYTES,
                request_timeout_ms=METADATA_MS,
            )
            try:
                await producer.start()
            except BaseException:
                self._bury(producer)  # a producer that failed to start must still be stopped
                raise
            self._producer = producer
            return producer

    def _give_up(self) -> None:
        if self._producer is not None:
            self._bury(self._producer)
        self._producer = None

    def _bury(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.get_running_loop().create_task(_end(producer))
        self._graves.add(task)
        task.add_done_callback(self._graves.discard)


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop a producer and its tasks, dropping what it has not delivered.

    By itself it would never end: stop() waits for batches, and they never expire
    (aio-libs/aiokafka#1101); cancelled, it leaves its sending task and its connections behind.
    That task trips over a batch that is to be resent and has failed here, and the check of its end
    then fails itself without transactions. So nothing is left to it: neither what waits for a
    leader nor what waits a moment to be resent.
    """
    sender = producer._sender  # noqa: SLF001
    if sender.sender_task is not None:
        sender.sender_task.remove_done_callback(sender._fail_all)  # noqa: SLF001
        sender.sender_task.add_done_callback(_look_at)
    accumulator = producer._message_accumulator  # noqa: SLF001
    for batch in chain.from_iterable(accumulator._batches.values()):  # noqa: SLF001
        batch._drain_waiter.add_done_callback(_look_at)  # noqa: SLF001
        # A batch to be resent looks itself up there at its end.
        accumulator._pending_batches.add(batch)  # noqa: SLF001
    accumulator.reenqueue = _drop  # type: ignore[method-assign]
    accumulator.fail_all(ProducerClosed())
    accumulator._batches.clear()  # noqa: SLF001
    steps: tuple[Callable[[], Awaitable[None]], ...] = (producer.stop, producer.client.close)
    for step in steps:
        try:
            async with asyncio.timeout(STOP_S):
                await step()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  it is dropped either way
            log.info("producer_stop_failed", extra={"reason": repr(error)})


async def _handed(
    producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int
) -> asyncio.Future[RecordMetadata]:
    delivered: asyncio.Future[RecordMetadata]
    delivered = await producer.send_batch(batch, topic, partition=partition)
    delivered.add_done_callback(_look_at)
    return delivered


def _drop(batch: MessageBatch) -> None:
    """For a batch that has already failed."""


def _grouped(places: Sequence[Place], records: Sequence[Record]) -> dict[Place, list[Record]]:
    found: dict[Place, list[Record]] = defaultdict(list)
    for place, record in zip(places, records, strict=True):
        found[place].append(record)
    return found


def _partition(record: Record, partitions: int) -> int:
    """CRC32 of the key, like librdkafka: aiokafka's murmur2 in Python takes 30 times as long, and
    nothing here depends on which partition a key has, only on its having one.
    """
    return zlib.crc32(record.key or record.value) % partitions


def _batches(records: Sequence[Record]) -> Iterator[BatchBuilder]:
    """The records in batches as full as allowed; the first record always fits."""
    now_ms = int(time.time() * 1000)
    size = sum(len(record.value) for record in records)
    codec = DefaultRecordBatch.CODEC_LZ4 if size >= COMPRESSED_BYTES else NO_CODEC
    batch = BatchBuilder(BATCH_BYTES, codec)
    for _, key, value, headers in records:
        tagged = list(headers)
        if batch.append(timestamp=now_ms, key=key, value=value, headers=tagged) is None:
            yield batch
            batch = BatchBuilder(BATCH_BYTES, codec)
            batch.append(timestamp=now_ms, key=key, value=value, headers=tagged)
    yield batch


def _ailing(cluster: ClusterMetadata, topic: str) -> Iterator[tuple[int, bool]]:
    """For each partition, whether it is ailing."""
    for number, known in cluster._partitions[topic].items():  # noqa: SLF001
        enough = min(COPIES_OF_ACKED, len(known.replicas))
        yield number, known.leader == NOBODY or len(known.isr) < enough


async def _partitions(producer: AIOKafkaProducer, topic: str) -> int:
    """How many the topic has.

    Raises:
        Unavailable: there is no such topic.
    """
    while True:
        try:
            async with asyncio.timeout(TOPIC_S):
                return len(await producer.partitions_for(topic))
        except TimeoutError:
            if topic not in (await producer.client.fetch_all_metadata()).topics():
                raise Unavailable(absent([topic])) from None


async def _known(
    producer: AIOKafkaProducer, topic: str, delivered: asyncio.Future[RecordMetadata]
) -> RecordMetadata:
    """The result of a batch. It shields the producer's own future: cancelled with us, that one's
    end would go unseen, and asyncio would log it as an error.

    Raises:
        Unavailable: its topic was deleted. By itself the producer waits for it to come back.
    """
    while not (delivered.done() or (await asyncio.wait([delivered], timeout=TOPIC_S))[0]):
        if topic not in producer.client.cluster.topics():
            raise Unavailable(absent([topic]))
    return delivered.result()


def _look_at(delivered: asyncio.Future[Any]) -> None:
    """The first of a round's failures is raised; the others count as retrieved."""
    if not delivered.cancelled():
        delivered.exception()
