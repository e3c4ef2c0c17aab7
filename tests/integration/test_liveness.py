"""What merely waits is alive; what is wedged is not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared import db, service, topics
from shared.kafka import consumer as consuming
from shared.kafka.consumer import Apply, Consumer, Received
from shared.kafka.publisher import Publisher
from shared.observability import CONSUMER_RESTARTS
from shared.settings import StoreSettings
from tests.integration.test_consumer import a_note, note_down
from tests.support.infra import Infra
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SCHEMA = "noted"


@asynccontextmanager
async def running(
    settings: StoreSettings, database_url: str, folder: Path, apply: Apply
) -> AsyncIterator[Consumer]:
    stop = asyncio.Event()
    await service.prepare_store(database_url, SCHEMA, folder, stop)
    async with (
        db.pool(database_url, SCHEMA, size=2) as pool,
        Publisher(settings, deadline_s=5) as publisher,
    ):
        consumer = Consumer(
            settings,
            service="noting",
            topics=[topics.NOTES],
            pool=pool,
            apply=apply,
            publisher=publisher,
        )
        task = asyncio.ensure_future(consumer.run(stop))
        try:
            yield consumer
        finally:
            stop.set()
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize("answers", [False, True])
async def test_a_consumer_that_waits_for_kafka_stays_alive(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """`answers`: the port is closed. Else it is open, and silent: a broker that was frozen."""
    monkeypatch.setattr(consuming, "START_S", 0.3)
    monkeypatch.setattr(consuming, "ALIVE_S", 6.0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if answers:
        server.close()
        await server.wait_closed()
    settings = StoreSettings(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    count = CONSUMER_RESTARTS.labels("Unavailable")._value.get
    before = count()
    try:
        async with running(settings, database_url, tmp_path, note_down) as consumer:

            async def has_waited_long() -> bool:
                assert consumer.alive()
                return bool(count() >= before + 7)

            await until(has_waited_long, 60)
    finally:
        server.close()


async def test_a_consumer_that_never_comes_back_from_a_batch_is_not_alive(
    infra: Infra,
    topic_prefix: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consuming, "ALIVE_S", 3.0)
    settings = StoreSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=1,
    )
    await service.prepare_topics(settings, [topics.NOTES], asyncio.Event())
    entered = asyncio.Event()

    async def hang(_: db.Connection, facts: Sequence[Received]) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with (
        Publisher(settings, deadline_s=20) as publisher,
        running(settings, database_url, tmp_path, hang) as consumer,
    ):
        await publisher.publish([a_note(1)])
        await entered.wait()
        assert consumer.alive()

        async def is_stuck() -> bool:
            return not consumer.alive()

        await until(is_stuck)
