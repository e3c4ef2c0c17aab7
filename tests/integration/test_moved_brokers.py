"""A broker that comes back at another address. Clients ask where they found it at their start."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from devstack import ports
from devstack.kafka import broker as kafka_broker
from shared import db, service, topics
from shared.errors import Unavailable
from shared.kafka import client
from shared.kafka import consumer as kafka_consumer
from shared.kafka.publisher import Publisher
from shared.settings import StoreSettings
from tests.integration.test_consumer import SCHEMA, TABLE, a_note, consuming, has_noted
from tests.support import brokers
from tests.support.brokers import Brokers
from tests.support.infra import LOCAL
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Brokers]:
    alone = {
        "offsets_topic_replication_factor": "1",
        "transaction_state_log_replication_factor": "1",
        "transaction_state_log_min_isr": "1",
    }
    with brokers.running(LOCAL / "kafka", tmp_path / "brokers", count=1, **alone) as made:
        yield made


@pytest.fixture
def elsewhere() -> int:
    """A port that the broker moves to."""
    return ports.free()


@pytest.fixture
def settings(one: Brokers, elsewhere: int) -> StoreSettings:
    named = f"{one.urls},{kafka_broker.url(elsewhere)}"
    return StoreSettings(kafka_bootstrap_servers=named, kafka_partitions=2)


@pytest.fixture
async def pool(
    settings: StoreSettings, empty_database_url: str, tmp_path: Path
) -> AsyncIterator[db.Pool]:
    (tmp_path / "0001_noted.sql").write_text(TABLE)
    stop = asyncio.Event()
    await service.prepare_store(empty_database_url, SCHEMA, tmp_path, stop)
    await service.prepare_topics(settings, [topics.NOTES], stop)
    async with db.pool(empty_database_url, SCHEMA, size=5) as pool:
        yield pool


async def test_a_consumer_follows_a_broker_to_another_address(
    settings: StoreSettings,
    one: Brokers,
    elsewhere: int,
    pool: db.Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_consumer, "STUCK_S", 3.0)
    monkeypatch.setattr(client, "DEADLINE_S", 2.0)

    async with (
        Publisher(settings, deadline_s=2) as publisher,
        Publisher(settings, deadline_s=2) as of_consumer,
        consuming(settings, pool, of_consumer),
    ):
        await publisher.publish([a_note(1)])
        await until(has_noted(pool, 1))
        await of_consumer.ping()

        await asyncio.to_thread(one.stop, 1)
        one.ports = {1: elsewhere}
        await asyncio.to_thread(one.start, 1)
        await until(lambda: is_published(publisher, 2))

        await until(has_noted(pool, 2), 60)


async def is_published(publisher: Publisher, number: int) -> bool:
    try:
        await publisher.publish([a_note(number)])
    except Unavailable:
        return False
    return True
