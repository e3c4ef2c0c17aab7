"""Reads whole topics, from their beginning to their end at the time of the call.

Rule: nothing is committed and no group is joined, so the services are not affected.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.errors import Unavailable
from shared.kafka import client, fetch_sessions
from shared.settings import Settings

POLL_MS = 500
RECORDS = 2_000
SILENCE_S = 30.0


RecordT = TypeVar("RecordT")


class Found(NamedTuple):
    """A record; `topic` is the name in the contract."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Stretch(Generic[RecordT]):
    """The next records, and the progress, in records of all topics."""

    records: Sequence[RecordT]
    done: int
    total: int


async def existing(settings: Settings) -> frozenset[str]:
    """The topics under our prefix, by their names in the contract.

    Raises:
        Unavailable: Kafka is away.
    """
    admin = AIOKafkaAdminClient(**client.connection(settings))
    try:
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                await admin.start()
                names = await admin.list_topics()
    finally:
        await client.ended(admin.close)
    return client.ours(settings, names)


async def scan(
    settings: Settings, topics: Collection[str]
) -> AsyncGenerator[Stretch[Found], None]:
    """All records, in order within each partition.

    Raises:
        Unavailable: Kafka is away, or stopped answering.
    """
    names = {client.physical(settings, topic): topic for topic in topics}
    consumer = AIOKafkaConsumer(
        *names,
        **client.connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=client.LETTER_BYTES,
    )
    fetch_sessions.keep(consumer)
    try:
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                await consumer.start()
                ends = await _ends(consumer)
                begins = await consumer.beginning_offsets(list(ends))
                await consumer.seek_to_beginning(*ends)
        total = sum(ends[each] - begins[each] for each in ends)
        done = 0
        while ends:
            records = await _next(consumer)
            found = [
                _found(names, record)
                for partition, each in records.items()
                for record in each
                if record.offset < ends.get(partition, 0)
            ]
            done += len(found)
            yield Stretch(found, done, total)
            for partition in list(ends):
                if await consumer.position(partition) >= ends[partition]:
                    consumer.pause(partition)
                    del ends[partition]
    finally:
        await client.stopped(consumer)


def _found(names: dict[str, str], record: ConsumerRecord[bytes, bytes]) -> Found:
    return Found(
        names[record.topic],
        record.partition,
        record.offset,
        record.key,
        record.value or b"",
        list(record.headers),
    )


async def _ends(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """For partitions that are not empty."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(consumer.assignment()))
    begins = await consumer.beginning_offsets(list(ends))
    return {each: end for each, end in ends.items() if end > begins[each]}


async def _next(
    consumer: AIOKafkaConsumer,
) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
    with client.errors():
        async with asyncio.timeout(SILENCE_S):
            while True:
                records: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]
                records = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS)
                if records:
                    return records
    raise Unavailable("Kafka: no records in time")
