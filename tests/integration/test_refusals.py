"""Who is refused, as a process hears it from Kafka, which comes and goes."""

import asyncio
import time
from typing import Any

import pytest

from shared import lifecycle, topics
from shared.access import INACTIVE
from shared.auth import Identity, Session
from shared.errors import Unavailable
from shared.events import dump
from shared.kafka import client, refusals
from shared.kafka.client import ensure_topics
from shared.kafka.publisher import Publisher, Record
from shared.kafka.refusals import Refusals
from shared.settings import Settings
from tests.support import query_facts as facts
from tests.support.infra import Infra
from tests.support.loops import running
from tests.support.query_facts import COMPANY
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def settings_of(infra: Infra, prefix: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=prefix, kafka_partitions=2
    )


def of(user_id: int) -> Session:
    return Session(Identity(COMPANY, user_id, False), "t", time.time(), time.time() + 60)


async def tell(settings: Settings, *words: tuple[int, int, dict[str, Any]]) -> None:
    records = []
    for number, version, data in words:
        _, fact = facts.changed(topics.USERS, number, version, data=data)
        records.append(Record(topics.USERS.name, fact.key, dump(fact)))
    async with Publisher(settings, deadline_s=30) as publisher:
        await publisher.publish(records)


async def says(heard: Refusals, user_id: int, why: str | None) -> None:
    async def is_said() -> bool:
        try:
            return heard.why(of(user_id)) == why
        except Unavailable:
            return False

    await until(is_said)


async def test_users_wait_until_all_that_is_there_has_been_read(
    infra: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "AT_ONCE", 1)
    settings = settings_of(infra, topic_prefix)
    await ensure_topics(settings, refusals.HEARD)
    times = 50
    await tell(
        settings,
        *((number, 1, {"active": False}) for number in range(times)),
        *((number, 2, {"active": True}) for number in range(times)),
        (times, 1, {"active": False}),
    )
    async with Publisher(settings, deadline_s=30) as publisher:
        await publisher.publish([Record(topics.USERS.name, b"x", b"no word of anybody")])
    heard = Refusals(settings)
    said = set()

    async with running(heard.run):

        async def is_read() -> bool:
            try:
                said.update(heard.why(of(number)) for number in range(times))
            except Unavailable:
                with pytest.raises(Unavailable):
                    await heard.ping()
                return False
            return True

        await until(is_read, every_s=0)

        assert said == {None}
        assert heard.why(of(times)) == INACTIVE
        assert await heard.ping() is None


async def test_without_kafka_users_are_served_and_what_is_known_holds(
    killable: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "SILENCE_S", 1.0)
    settings = settings_of(killable, topic_prefix)
    heard = Refusals(settings)
    await asyncio.to_thread(killable.kill, "kafka")
    try:
        with pytest.raises(Unavailable):
            heard.why(of(1))
        async with running(heard.run):
            await says(heard, 1, None)
            assert await heard.ping() is not None
            await asyncio.to_thread(killable.start, "kafka")
            await ensure_topics(settings, [topics.USERS])
            await tell(settings, (1, 1, {"active": False}), (2, 1, {"active": False}))
            await says(heard, 1, INACTIVE)
            await says(heard, 2, INACTIVE)
            assert await heard.ping() is None

            await asyncio.to_thread(killable.kill, "kafka")
            assert [heard.why(of(number)) for number in (1, 2, 3)] == [INACTIVE, INACTIVE, None]
            await asyncio.to_thread(killable.start, "kafka")
            await tell(settings, (1, 2, {"active": True}))
            await says(heard, 1, None)
            assert heard.why(of(2)) == INACTIVE
    finally:
        await asyncio.to_thread(killable.start, "kafka")


async def test_an_outage_leaves_no_connection_behind(
    killable: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LOOK_S", 0.2)
    monkeypatch.setattr(client, "DEADLINE_S", 1.0)
    settings = settings_of(killable, topic_prefix)
    heard = Refusals(settings)

    async def is_away() -> bool:
        return lifecycle.reason_of("refusals") is not None

    try:
        async with running(heard.run):
            await says(heard, 1, None)
            await asyncio.to_thread(killable.kill, "kafka")
            await until(is_away)
    finally:
        await asyncio.to_thread(killable.start, "kafka")

    assert [task for task in asyncio.all_tasks() if "aiokafka" in repr(task)] == []
