"""What is asked of a real broker, and what comes of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.fetch import FetchRequest

from shared.kafka import fetch_sessions

pytestmark = pytest.mark.integration

PARTITIONS = 12
FETCH = FetchRequest.API_KEY


@dataclass
class Line:
    """Notes down what is said to the broker, and may garble it first."""

    send: Callable[..., Any]
    said: list[Any] = field(default_factory=list)
    garble: Callable[[Any], None] = lambda _: None
    newest: int | None = None

    async def __call__(self, node_id: int, request: Any, **named: Any) -> Any:
        if hasattr(request, "API_KEY"):
            return await self.send(node_id, request, **named)
        return await self.send(node_id, Noted(request, self), **named)

    def named(self) -> list[int]:
        """How many partitions each fetch named."""
        return [sum(len(found) for _, found in struct.topics) for struct in self.said]


@dataclass
class Noted:
    request: Any
    line: Line

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Any:
        if self.line.newest is not None:
            versions = {**versions, FETCH: (versions[FETCH][0], self.line.newest)}
        struct = self.request.prepare(versions)
        self.line.garble(struct)
        self.line.said.append(struct)
        return struct


@dataclass
class Reader:
    consumer: AIOKafkaConsumer
    line: Line
    wanted: asyncio.Event

    async def next(self, count: int) -> list[bytes]:
        """The values of as many records; each comes once."""
        found: list[bytes] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                batches = await self.consumer.getmany(timeout_ms=500)
                found += [each.value for records in batches.values() for each in records]
        assert not await self.consumer.getmany(timeout_ms=0)
        return found

    async def asks(self) -> None:
        """Return once another fetch has gone out."""
        before = len(self.line.said)
        async with asyncio.timeout(20):
            while len(self.line.said) == before:
                assert not await self.consumer.getmany(timeout_ms=100)


@pytest.fixture
async def topic(infra: Any, topic_prefix: str) -> str:
    name = f"{topic_prefix}said"
    admin = AIOKafkaAdminClient(bootstrap_servers=infra.kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    finally:
        await admin.close()
    return name


@pytest.fixture
async def producer(infra: Any) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=infra.kafka) as producer:
        yield producer


@asynccontextmanager
async def reading(infra: Any, topic: str) -> AsyncIterator[Reader]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=infra.kafka, group_id=None, auto_offset_reset="earliest"
    )
    line = Line(consumer._client.send)
    consumer._client.send = line
    wanted = fetch_sessions.keep(consumer)
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    await consumer.start()
    try:
        yield Reader(consumer, line, wanted)
    finally:
        await consumer.stop()


async def test_the_first_fetch_names_all_and_those_after_it_what_moved(
    infra: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    async with reading(infra, topic) as reader:
        await reader.asks()
        await producer.send_and_wait(topic, b"one", partition=3)
        await producer.send_and_wait(topic, b"two", partition=7)
        assert sorted(await reader.next(2)) == [b"one", b"two"]
        await reader.asks()
        await reader.asks()

    assert reader.line.named()[0] == PARTITIONS
    assert sum(reader.line.named()[1:]) == 2
    assert [struct.session_epoch for struct in reader.line.said] == [*range(len(reader.line.said))]
    assert {struct.session_id for struct in reader.line.said[1:]}.isdisjoint({0})


async def test_who_goes_back_reads_again(
    infra: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    place = TopicPartition(topic, 5)
    async with reading(infra, topic) as reader:
        for value in (b"one", b"two", b"three"):
            await producer.send_and_wait(topic, value, partition=5)
        assert await reader.next(3) == [b"one", b"two", b"three"]
        reader.consumer.seek(place, 1)
        assert await reader.next(2) == [b"two", b"three"]
        reader.consumer.seek(place, 0)
        assert await reader.next(3) == [b"one", b"two", b"three"]


async def test_a_partition_that_is_paused_says_nothing_until_it_goes_on(
    infra: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    paused = TopicPartition(topic, 5)
    async with reading(infra, topic) as reader:
        await reader.asks()
        reader.consumer.pause(paused)
        await reader.asks()
        await producer.send_and_wait(topic, b"kept", partition=5)
        await producer.send_and_wait(topic, b"told", partition=6)
        assert await reader.next(1) == [b"told"]
        reader.consumer.resume(paused)
        assert await reader.next(1) == [b"kept"]

    forgotten = [struct.forgotten_topics_data for struct in reader.line.said]
    assert [(topic, [5])] in forgotten


async def test_partitions_that_go_and_come_are_read_from_where_they_stand(
    infra: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    both = [TopicPartition(topic, 1), TopicPartition(topic, 2)]
    async with reading(infra, topic) as reader:
        await producer.send_and_wait(topic, b"one", partition=1)
        assert await reader.next(1) == [b"one"]
        reader.consumer.assign(both[1:])
        await producer.send_and_wait(topic, b"two", partition=1)
        await producer.send_and_wait(topic, b"three", partition=2)
        assert await reader.next(1) == [b"three"]
        reader.consumer.assign(both)
        reader.consumer.seek(both[0], 1)
        reader.consumer.seek(both[1], 1)
        assert await reader.next(1) == [b"two"]


@pytest.mark.parametrize("what", ["session_epoch", "session_id"])
async def test_a_session_that_the_broker_does_not_know_is_begun_anew(
    infra: Any, topic: str, producer: AIOKafkaProducer, what: str
) -> None:
    """As after a restart of the broker, or where it had to make room."""

    async with reading(infra, topic) as reader:
        await reader.asks()
        await reader.asks()

        def garble(struct: Any) -> None:
            setattr(struct, what, getattr(struct, what) + 7)
            reader.line.garble = lambda _: None

        reader.line.garble = garble
        await producer.send_and_wait(topic, b"one", partition=3)
        assert await reader.next(1) == [b"one"]
        await reader.asks()
        await producer.send_and_wait(topic, b"two", partition=3)
        assert await reader.next(1) == [b"two"]

    assert reader.line.named().count(PARTITIONS) == 2


async def test_a_broker_of_before_sessions_is_asked_for_all_each_time(
    infra: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    async with reading(infra, topic) as reader:
        reader.line.newest = fetch_sessions.KNOWS_SESSIONS - 1
        await reader.asks()
        await producer.send_and_wait(topic, b"one", partition=3)
        assert await reader.next(1) == [b"one"]
        await reader.asks()

    assert set(reader.line.named()) == {PARTITIONS}


async def test_nothing_is_fetched_ahead_while_nothing_is_wanted(
    infra: Any, topic: str, producer: AIOKafkaProducer
) -> None:
    async with reading(infra, topic) as reader:
        await producer.send_and_wait(topic, b"one", partition=3)
        assert await reader.next(1) == [b"one"]
        reader.wanted.clear()
        await producer.send_and_wait(topic, b"two", partition=3)
        await producer.send_and_wait(topic, b"three", partition=4)
        before = len(reader.line.said)
        assert not await reader.consumer.getmany(timeout_ms=700)
        assert len(reader.line.said) == before
        reader.wanted.set()
        assert sorted(await reader.next(2)) == [b"three", b"two"]
