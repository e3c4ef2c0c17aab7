"""Publishing on a real broker: batches of every size, order per key, outages without leftovers."""

import asyncio
import gc
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.errors import Unavailable
from shared.kafka import publisher as publisher_of_records
from shared.kafka.client import DEADLINE_S, Late, ensure_topics
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import BATCH_BYTES, METADATA_MS, STOP_S, Publisher, Record
from shared.kafka.rounds import PACE
from shared.settings import Settings
from shared.topics import DEALS, LEADS, PERSONS
from tests.support.infra import Infra
from tests.support.proxy import Proxy, Weather
from tests.support.waiting import until

pytestmark = pytest.mark.integration

READ_S = 30.0


@asynccontextmanager
async def publishing(
    kafka: str, prefix: str, *, deadline_s: float = 20.0
) -> AsyncIterator[Publisher]:
    settings = Settings(
        kafka_bootstrap_servers=kafka, kafka_topic_prefix=prefix, kafka_partitions=3
    )
    await ensure_topics(settings, [PERSONS, DEALS])
    async with Publisher(settings, deadline_s=deadline_s) as publisher:
        yield publisher


async def records_of(
    kafka: str, topic: str, count: int
) -> list[ConsumerRecord[bytes | None, bytes | None]]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(READ_S):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def log_of(kafka: str, topic: str, count: int) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in await records_of(kafka, topic, count)]


async def test_who_waits_for_topics_is_soon_told_that_a_bootstrap_server_is_silent() -> None:
    """And tries again: there may be others."""
    async with Proxy("127.0.0.1", 1) as link:
        await link.turn(Weather.HALF_OPEN)
        settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{link.port}")
        async with asyncio.timeout(2 * DEADLINE_S):
            with pytest.raises(Unavailable, match="no answer in time"):
                await ensure_topics(settings, [PERSONS])


async def test_a_keys_records_keep_their_order_among_callers_and_batches(
    infra: Infra, topic_prefix: str
) -> None:
    async with publishing(infra.kafka, topic_prefix) as publisher, asyncio.TaskGroup() as group:
        for number in range(300):
            key = b"%d" % (number % 7)
            value = b"%d:" % number + secrets.token_bytes(4_000)
            records = [Record(PERSONS.name, key, value), Record(DEALS.name, key, b"")]
            group.create_task(publisher.publish(records))

    found = await log_of(infra.kafka, topic_prefix + PERSONS.name, 300)
    keyed = sorted(found, key=lambda record: record[0] or b"")
    for _, group_of_key in groupby(keyed, key=lambda record: record[0]):
        numbers = [int((value or b"").partition(b":")[0]) for _, value in group_of_key]
        assert numbers == sorted(numbers)
    assert len(await log_of(infra.kafka, topic_prefix + DEALS.name, 300)) == 300


async def test_a_keys_records_keep_their_order_among_rounds_in_flight(
    infra: Infra, topic_prefix: str
) -> None:
    """The first one has to hear of a topic before it can go."""
    count = 5 * int(PACE.much)
    async with publishing(infra.kafka, topic_prefix) as publisher:
        await publisher.publish([Record(PERSONS.name, b"8", b"0")])
        await ensure_topics(
            Settings(kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix), [LEADS]
        )
        for beginning in range(1, count, int(PACE.much)):
            numbers = range(beginning, beginning + int(PACE.much))
            records = [Record(PERSONS.name, b"8", b"%d" % number) for number in numbers]
            if beginning == 1:
                records.insert(0, Record(LEADS.name, b"8", b""))
            publisher.hand_over(records, asyncio.get_running_loop().create_future())
            await asyncio.sleep(0)
        await publisher.publish([Record(DEALS.name, b"8", b"")])

    found = await log_of(infra.kafka, topic_prefix + PERSONS.name, count + 1)
    assert [value for _, value in found] == [b"%d" % number for number in range(count + 1)]


@pytest.mark.parametrize("size", [0, 100, BATCH_BYTES + 1, 3 * 1024 * 1024])
async def test_records_of_any_size_travel_whole(
    infra: Infra, topic_prefix: str, size: int
) -> None:
    value = secrets.token_bytes(size)
    async with publishing(infra.kafka, topic_prefix) as publisher:
        await publisher.publish([Record(PERSONS.name, b"1", value, [("why", b"because")])] * 2)

    found = await log_of(infra.kafka, topic_prefix + PERSONS.name, 2)
    assert found == [(b"1", value)] * 2


async def test_one_callers_end_does_not_touch_the_others(infra: Infra, topic_prefix: str) -> None:
    async with publishing(infra.kafka, topic_prefix) as publisher:
        await publisher.publish([Record(PERSONS.name, b"0", b"first")])
        tasks = [
            asyncio.ensure_future(publisher.publish([Record(PERSONS.name, b"%d" % n, b"")]))
            for n in range(10)
        ]
        await asyncio.sleep(0)
        tasks[3].cancel()
        done, _ = await asyncio.wait(tasks)

        assert sum(task.cancelled() for task in done) == 1
        assert all(task.cancelled() or task.exception() is None for task in done)


async def test_an_outage_is_told_in_time_and_leaves_nothing_behind(
    killable: Infra, topic_prefix: str
) -> None:
    before = asyncio.all_tasks()
    async with publishing(killable.kafka, topic_prefix, deadline_s=0.5) as publisher:

        async def is_published() -> bool:
            try:
                await publisher.publish([Record(PERSONS.name, b"1", b"")])
            except Unavailable:
                return False
            return True

        await until(is_published)
        await asyncio.to_thread(killable.kill, "kafka")
        try:
            for _ in range(5):
                began = time.monotonic()
                assert not await is_published()
                assert time.monotonic() - began < 2
        finally:
            await asyncio.to_thread(killable.start, "kafka")
        await until(is_published, 60)

    assert asyncio.all_tasks() - before == set()


@pytest.fixture
async def unseen() -> AsyncIterator[list[str]]:
    """What asyncio tells of that nobody looked at, once the test has forgotten it."""
    loop, messages = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: messages.append(context["message"]))
    yield messages
    loop.set_exception_handler(None)


@pytest.mark.parametrize("send", [Publisher.publish, Publisher.place])
async def test_a_producer_that_is_given_up_leaves_no_failure_that_nobody_looked_at(
    killable: Infra, topic_prefix: str, unseen: list[str], send: Callable[..., Awaitable[object]]
) -> None:
    full = [Record(PERSONS.name, b"1", secrets.token_bytes(BATCH_BYTES))]
    async with publishing(killable.kafka, topic_prefix, deadline_s=1.0) as publisher:
        await publisher.publish(full)
        async with killable.frozen("kafka"):
            # One is on its way, one waits for it, and one waits to be let in.
            with pytest.raises(Unavailable):
                await send(publisher, full * 3)
    gc.collect()

    assert [message for message in unseen if "never retrieved" in message] == []


async def test_a_producer_that_is_given_up_as_a_request_of_its_ends_fails_in_silence(
    killable: Infra, topic_prefix: str, unseen: list[str]
) -> None:
    """The library sends again what was not answered, and stumbles over what has failed here."""
    deadline_s = METADATA_MS / 1000 - STOP_S / 3
    async with publishing(killable.kafka, topic_prefix, deadline_s=deadline_s) as publisher:
        await publisher.publish([Record(PERSONS.name, b"1", b"")])
        async with killable.frozen("kafka"):
            with pytest.raises(Unavailable):
                await publisher.publish([Record(PERSONS.name, b"1", b"")])
            await until(lambda: _is_given_up(publisher))
    gc.collect()

    assert unseen == []


async def test_what_was_under_way_when_the_producer_was_given_up_counts_as_late_and_not_refused(
    killable: Infra, topic_prefix: str
) -> None:
    record = Record(PERSONS.name, b"1", b"")
    async with publishing(killable.kafka, topic_prefix) as publisher:
        assert await publisher.attempt([record]) == [None]
        async with killable.frozen("kafka"):
            attempt = asyncio.create_task(publisher.attempt([record, record]))
            await until(lambda: _has_sent(publisher))
            publisher._give_up()
            fates = await attempt

    assert [type(fate) for fate in fates] == [Late, Late]


async def _has_sent(publisher: Publisher) -> bool:
    producer = publisher._producer
    return producer is not None and bool(producer._message_accumulator._pending_batches)


async def _is_given_up(publisher: Publisher) -> bool:
    return publisher._producer is None and not publisher._graves


@pytest.mark.parametrize("send", [Publisher.publish, Publisher.place])
async def test_who_publishes_to_a_topic_that_was_deleted_is_told_which(
    infra: Infra, topic_prefix: str, send: Callable[..., Awaitable[object]]
) -> None:
    record = Record(PERSONS.name, b"1", b"")
    sentence = f"Kafka: there is no topic {topic_prefix}{PERSONS.name}"
    admin = AIOKafkaAdminClient(bootstrap_servers=infra.kafka)
    await admin.start()
    async with publishing(infra.kafka, topic_prefix) as publisher:
        await send(publisher, [record])
        await publisher.ping([PERSONS])
        await admin.delete_topics([topic_prefix + PERSONS.name])

        async def is_gone() -> bool:
            return PERSONS.name not in (await publisher.view()).topics

        await until(is_gone)
        for _ in range(2):
            with pytest.raises(Unavailable, match=sentence):
                await send(publisher, [record])
        with pytest.raises(Unavailable, match=sentence):
            await publisher.ping([PERSONS, DEALS])
    await admin.close()


async def test_what_is_placed_goes_together_and_each_record_stands_where_it_was_said_to(
    infra: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed, batches = publisher_of_records._handed, []

    async def counted(
        producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int
    ) -> asyncio.Future[Any]:
        batches.append((topic, partition))
        return await handed(producer, batch, topic, partition)

    monkeypatch.setattr(publisher_of_records, "_handed", counted)
    records = [
        Record(topic.name, b"%d" % (number % 40), b"%d" % number)
        for number in range(200)
        for topic in (PERSONS, DEALS)
    ]
    async with publishing(infra.kafka, topic_prefix) as publisher:
        positions = await publisher.place(records)
    stands = {}
    for topic in (PERSONS, DEALS):
        for record in await records_of(infra.kafka, topic_prefix + topic.name, 200):
            stands[topic.name, record.partition, record.offset] = record.value

    assert [stands[position] for position in positions] == [record.value for record in records]
    assert len(batches) == 6  # three partitions of each


async def test_a_round_is_acked_as_soon_as_its_last_batch_is(
    infra: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many partitions it went to: on a busy loop, each turn is the work of others."""
    handed, turns = publisher_of_records._handed, 0
    acked_at: list[int] = []
    records = [Record(topic.name, b"%d" % n, b"") for topic in (PERSONS, DEALS) for n in range(40)]

    async def watched(
        producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int
    ) -> asyncio.Future[Any]:
        delivered = await handed(producer, batch, topic, partition)
        delivered.add_done_callback(lambda _: acked_at.append(turns))
        return delivered

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(publisher_of_records, "_handed", watched)
    async with publishing(infra.kafka, topic_prefix) as publisher:
        await publisher.publish(records)  # new partitions may have no leader yet
        acked_at.clear()
        counting = asyncio.ensure_future(count())
        await publisher.publish(records)
        passed = turns - acked_at[-1]
        counting.cancel()

    assert len(acked_at) == 6  # three partitions of each
    assert passed <= 6


async def test_what_is_placed_stands_where_it_was_said_to(infra: Infra, topic_prefix: str) -> None:
    async with publishing(infra.kafka, topic_prefix) as publisher:
        first = await publisher.place([Record(PERSONS.name, b"1", b"a")])
        records = [Record(PERSONS.name, b"1", b"b"), Record(DEALS.name, b"1", b"c")]
        positions = [*first, *await publisher.place(records)]

    assert [position.topic for position in positions] == [PERSONS.name, PERSONS.name, DEALS.name]
    consumer = AIOKafkaConsumer(bootstrap_servers=infra.kafka)
    await consumer.start()
    try:
        found = []
        for topic, partition, offset in positions:
            place = TopicPartition(topic_prefix + topic, partition)
            consumer.assign([place])
            consumer.seek(place, offset)
            async with asyncio.timeout(READ_S):
                found.append((await consumer.getone()).value)
    finally:
        await consumer.stop()
    assert found == [b"a", b"b", b"c"]


async def test_who_was_replaced_is_refused_and_publishes_nothing_until_it_takes_over_again(
    infra: Infra, topic_prefix: str
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=3
    )
    await ensure_topics(settings, [PERSONS])
    async with (
        FencedPublisher(settings, "persons", deadline_s=20) as one,
        FencedPublisher(settings, "persons", deadline_s=20) as other,
    ):
        with pytest.raises(Unavailable, match="another may publish"):
            await one.publish([Record(PERSONS.name, b"1", b"too early")])
        await one.take_over()
        await one.publish([Record(PERSONS.name, b"1", b"first")])
        await other.take_over()
        await one.publish([Record(PERSONS.name, b"1", b"before the other's first")])
        await other.publish([Record(PERSONS.name, b"1", b"the other's first")])

        with pytest.raises(Unavailable, match="ProducerFenced"):
            await one.publish([Record(PERSONS.name, b"1", b"too late")])
        with pytest.raises(Unavailable, match="another may publish"):
            await one.publish([Record(PERSONS.name, b"1", b"much too late")])
        await one.take_over()
        await one.publish([Record(PERSONS.name, b"1", b"again")])

    found = await log_of(infra.kafka, topic_prefix + PERSONS.name, 4)
    expected = [b"first", b"before the other's first", b"the other's first", b"again"]
    assert [value for _, value in found] == expected
