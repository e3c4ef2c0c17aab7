"""A consumer whose group does not come to rest waits, is alive, and goes on once it does."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

from shared import db, heart, service, topics
from shared.kafka import client
from shared.kafka import consumer as kafka_consumer
from shared.kafka.consumer import Consumer
from shared.kafka.publisher import Publisher
from shared.observability import CONSUMER_RESTARTS
from shared.settings import StoreSettings
from tests.integration.test_consumer import (
    SCHEMA,
    TABLE,
    a_note,
    has_noted,
    noted,
    noting,
    numbers,
)
from tests.integration.test_liveness import the_settings
from tests.support.infra import Infra
from tests.support.loops import running
from tests.support.waiting import until

pytestmark = pytest.mark.integration

LONG_MS = 600_000


class Reading(NamedTuple):
    """A consumer, alone in its group, that has applied a record."""

    settings: StoreSettings
    consumer: Consumer
    pool: db.Pool
    publisher: Publisher


@pytest.fixture
async def reading(
    infra: Infra, topic_prefix: str, database_url: str, tmp_path: Path
) -> AsyncIterator[Reading]:
    settings = the_settings(infra, topic_prefix).model_copy(update={"kafka_partitions": 4})
    (tmp_path / "0001_noted.sql").write_text(TABLE)
    await service.prepare_store(database_url, SCHEMA, tmp_path, asyncio.Event())
    await service.prepare_topics(settings, [topics.NOTES], asyncio.Event())
    async with (
        db.pool(database_url, SCHEMA, size=3) as pool,
        Publisher(settings, deadline_s=10) as publisher,
    ):
        consumer = noting(settings, pool, publisher)
        async with running(consumer.run, consumer.watch):
            await publisher.publish([a_note(0)])
            await until(has_noted(pool, 1))
            yield Reading(settings, consumer, pool, publisher)


class Slow(ConsumerRebalanceListener):
    """A member that stays in the group, and from its second rebalance on comes to none."""

    def __init__(self) -> None:
        self.has_joined = asyncio.Event()
        self.is_awaited = asyncio.Event()
        self.may_come = asyncio.Event()

    async def on_partitions_revoked(self, _: Iterable[Any]) -> None:
        if self.has_joined.is_set():
            self.is_awaited.set()
            await self.may_come.wait()

    async def on_partitions_assigned(self, _: Iterable[Any]) -> None:
        self.has_joined.set()


@asynccontextmanager
async def member(
    settings: StoreSettings, listener: ConsumerRebalanceListener
) -> AsyncIterator[asyncio.Task[None]]:
    """Of the same group; the task ends once it has its partitions."""
    other = AIOKafkaConsumer(
        **client.connection(settings),
        group_id=client.group(settings, "noting"),
        enable_auto_commit=False,
        heartbeat_interval_ms=200,
        rebalance_timeout_ms=LONG_MS,
        max_poll_interval_ms=LONG_MS,
    )
    other.subscribe([client.physical(settings, topics.NOTES.name)], listener=listener)
    starting = asyncio.create_task(other.start())
    try:
        yield starting
    finally:
        await client.stopped(other)
        starting.cancel()
        await asyncio.wait([starting])


@asynccontextmanager
async def rebalancing(reading: Reading) -> AsyncIterator[None]:
    """The consumer's group waits for a member until the block ends; then the others leave it."""
    placed = reading.consumer._assignment.placed

    async def has_partitions() -> bool:
        return bool(placed())

    async def has_given_them_up() -> bool:
        return not placed()

    slow = Slow()
    async with member(reading.settings, slow) as joining:
        await joining
        await until(has_partitions)
        async with member(reading.settings, Slow()):
            await slow.is_awaited.wait()
            try:
                await until(has_given_them_up)
                yield
            finally:
                slow.may_come.set()


async def test_it_is_not_stuck_however_long_that_takes(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "PATIENCE_S", 3.0)
    monkeypatch.setattr(kafka_consumer, "REBALANCE_LOOK_S", 0.2)
    restarts = CONSUMER_RESTARTS.labels("Broken")._value.get
    before, looks = restarts(), 0
    turn = Consumer._turn

    async def counted(consumer: Consumer, *args: Any) -> None:
        nonlocal looks
        looks += 1
        await turn(consumer, *args)

    async def has_waited_for_long() -> bool:
        assert heart.stuck() == []
        return looks > 30

    monkeypatch.setattr(Consumer, "_turn", counted)
    async with rebalancing(reading):
        looks = 0
        await reading.publisher.publish([a_note(1)])
        await until(has_waited_for_long)
        assert await noted(reading.pool) == numbers(1)
    await until(has_noted(reading.pool, 2))

    assert restarts() == before


async def test_one_that_waits_longer_than_members_may_take_is_replaced_and_the_group_recovers(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "STUCK_S", 1.0)
    monkeypatch.setattr(kafka_consumer, "REBALANCE_MS", 6_000)
    monkeypatch.setattr(kafka_consumer, "REBALANCE_LOOK_S", 0.2)
    monkeypatch.setattr(client, "DEADLINE_S", 1.0)
    restarts = CONSUMER_RESTARTS.labels("Broken")._value.get
    before = restarts()

    async def is_replaced() -> bool:
        return bool(restarts() > before)

    async with rebalancing(reading):
        began = time.monotonic()
        await reading.publisher.publish([a_note(number) for number in range(1, 40)])
        await until(is_replaced)
        assert time.monotonic() - began > 5.0, "not as soon as one that does not wait"
    await until(has_noted(reading.pool, 40))

    assert await noted(reading.pool) == numbers(40)
