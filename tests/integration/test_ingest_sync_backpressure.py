"""A sync waits for those who read the log, and for nobody who does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.pipedrive import shapes
from devstack.pipedrive.api.tables import Order
from services.ingest.sync import backpressure
from services.ingest.sync.backpressure import Backpressure
from shared.errors import Unavailable
from shared.kafka import client
from shared.kafka.group_lag import GroupLags, Lag
from shared.kafka.offsets import Partition
from shared.settings import Settings
from shared.topics import ORGANIZATIONS
from tests.support.synchronised import A_USER, Company
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CHANGED = timedelta(minutes=5)


@pytest.fixture
def company(synchronised_company: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    """Of which a record is read before the next is written."""
    monkeypatch.setattr(backpressure, "LEAST", 0)
    monkeypatch.setattr(backpressure, "AHEAD_S", 0.0)
    monkeypatch.setattr(backpressure, "LOOK_S", 0.05)
    synchronised_company.told.events.clear()
    return synchronised_company


class Group:
    """The consumer group of orgs, as far as it tells Kafka where it stands."""

    def __init__(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> None:
        self._consumer = consumer
        self._place = place

    async def catches_up(self) -> int:
        end: int = (await self._consumer.end_offsets([self._place]))[self._place]
        await self._consumer.commit({self._place: end})
        return end


@asynccontextmanager
async def group_of_orgs(settings: Settings) -> AsyncIterator[Group]:
    place = TopicPartition(client.physical(settings, ORGANIZATIONS.name), 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=client.group(settings, "orgs"),
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign([place])
        yield Group(consumer, place)
    finally:
        await consumer.stop()


def change(company: Company, *entities: str) -> None:
    """The first row of each, unheard."""
    at = datetime.now(UTC) - CHANGED
    for entity in entities:
        table = company.double.account.tables[entity]
        row = next(table.walk(Order.ID))
        table.put({**(table.get(row) or {}), "name": "New", "update_time": shapes.seconds(at)}, at)


def behind(company: Company) -> int:
    """How far orgs was when a sync looked last."""
    reader = company.sync.parts.backpressure.readers.get("orgs")
    return reader.seen[-1][1].behind if reader is not None else 0


async def test_what_follows_is_written_when_the_readers_have_read_what_was_written_before(
    company: Company,
) -> None:
    change(company, "organization", "person")
    async with group_of_orgs(company.sync.parts.settings) as orgs:
        await orgs.catches_up()
        sync_id = await company.begins(A_USER)

        async def waits() -> bool:
            return behind(company) == 1

        await until(waits, 20)
        assert [each["entity"] for each in company.told.events] == ["organization"]
        assert (await company.stands(sync_id)).finished_at is None

        await orgs.catches_up()
        await company.ends(sync_id)

    assert [each["entity"] for each in company.told.events] == ["organization", "person"]
    assert company.ended[-1].state == "done"


async def test_a_reader_that_stands_still_holds_up_no_sync(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backpressure, "STILL_S", 0.5)
    change(company, "organization", "person")
    async with group_of_orgs(company.sync.parts.settings) as orgs:
        await orgs.catches_up()

        assert await company.syncs(A_USER) == "done"

    assert [each["entity"] for each in company.told.events] == ["organization", "person"]


async def test_readers_that_have_told_nothing_hold_up_no_sync(company: Company) -> None:
    change(company, "organization", "person")

    assert await company.syncs(A_USER) == "done"

    assert company.sync.parts.backpressure.readers == {}
    assert [each["entity"] for each in company.told.events] == ["organization", "person"]


async def test_where_kafka_does_not_tell_a_sync_goes_on() -> None:
    nobody = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    async with GroupLags(nobody, backpressure.READERS) as lags:
        held = Backpressure(lags)

        await held.hold(backpressure.LEAST + 1, asyncio.Event())
        await held.hold(backpressure.LEAST + 1, asyncio.Event())

        with pytest.raises(Unavailable):
            await lags.look()


async def test_how_a_group_stands_is_told_of_the_topics_that_are_its_own(
    company: Company,
) -> None:
    settings = company.sync.parts.settings
    async with (
        group_of_orgs(settings) as orgs,
        GroupLags(settings, ["orgs", "query"]) as lags,
    ):
        end = await orgs.catches_up()
        change(company, "organization")
        assert await company.syncs(A_USER) == "done"

        place = Partition(client.physical(settings, ORGANIZATIONS.name), 0)
        assert await lags.look() == {"orgs": {place: Lag(end, 1)}}
        await orgs.catches_up()
        assert await lags.look() == {"orgs": {place: Lag(end + 1, 0)}}
