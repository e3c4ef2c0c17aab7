"""A cluster of several brokers of which some are away: what it still takes, and what waits."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.support import brokers
from tests.support.brokers import Brokers
from tests.support.cluster import Cluster, Instance
from tests.support.infra import LOCAL
from tests.support.pipe import COMPANY, a_tenant, authorization, deliver
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PARTITIONS = 3
PERSONS = "pipedrive.persons"
GIVEN_UP = "my500_kafka_producer_rebuilds_total"
SENTENCE = "degraded: events go to the spool: Kafka: no leader, or too few in-sync replicas, for "


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """The first alone decides who leads: the others may die together."""
    with brokers.running(LOCAL / "kafka", tmp_path_factory.mktemp("brokers")) as made:
        yield made


@pytest.fixture
async def cluster(three: Brokers, tmp_path: Path) -> AsyncIterator[Cluster]:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": three.urls,
        "KAFKA_TOPIC_PREFIX": f"{tmp_path.name}.",
        "KAFKA_PARTITIONS": str(PARTITIONS),
    }
    async with Cluster(tmp_path, environment) as cluster:
        cluster.write_tenants([a_tenant(COMPANY)])
        yield cluster


async def send(cluster: Cluster, ingest: Instance, persons: Collection[int]) -> None:
    for person in persons:
        meta = {
            "action": "change",
            "company_id": str(COMPANY),
            "entity": "person",
            "entity_id": str(person),
            "id": f"event-{person}",
            "timestamp": "2026-05-27T06:54:41.426Z",
            "version": "2.0",
        }
        body = orjson.dumps({"data": {"id": person, "name": "Ann"}, "meta": meta})
        assert await deliver(cluster, ingest, body, authorization(COMPANY)) == 200


def partition_of(person: int) -> int:
    return zlib.crc32(f"{COMPANY}:{person}".encode()) % PARTITIONS


async def told(cluster: Cluster, ingest: Instance) -> str:
    async with cluster.http.get(f"{ingest.url}/readyz") as response:
        kafka: str = (await response.json())["data"]["dependencies"]["kafka"]
        return kafka


async def measured(cluster: Cluster, ingest: Instance, name: str) -> float:
    async with cluster.http.get(f"{ingest.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    [line] = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def leaders(three: Brokers, topic: str) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=three.urls)
    await admin.start()
    try:
        [described] = await admin.describe_topics([topic])
        return {each["partition"]: each["leader"] for each in described["partitions"]}
    finally:
        await admin.close()


async def all_are_there(three: Brokers) -> None:
    """Return once each may be given partitions, one that was just started, too."""
    admin = AIOKafkaAdminClient(bootstrap_servers=three.urls)
    await admin.start()

    async def are_there() -> bool:
        return len((await admin.describe_cluster())["brokers"]) == len(three.ports)

    try:
        await until(are_there, 30, every_s=0.2)
    finally:
        await admin.close()


async def started(three: Brokers, cluster: Cluster, *, copies: int) -> Instance:
    await all_are_there(three)
    ingest = cluster.start("ingest", KAFKA_REPLICATION_FACTOR=str(copies))
    await cluster.ready(ingest)
    return ingest


async def arrived(three: Brokers, topic: str, partitions: Collection[int], wanted: int) -> None:
    """Return once so many events are in those partitions."""
    consumer = AIOKafkaConsumer(bootstrap_servers=three.urls)
    await consumer.start()
    named = [TopicPartition(topic, each) for each in partitions]

    async def are_there() -> bool:
        return sum((await consumer.end_offsets(named)).values()) >= wanted

    try:
        await until(are_there, 30, every_s=0.2)
    finally:
        await consumer.stop()


def lines(ingest: Instance, message: str) -> int:
    return ingest.log.read_text().count(f'"message":"{message}"')


async def test_where_too_few_brokers_are_left_for_an_ack_that_is_told_and_webhooks_are_taken(
    three: Brokers, cluster: Cluster
) -> None:
    ingest = await started(three, cluster, copies=3)
    await send(cluster, ingest, range(1, 21))

    async def is_empty() -> bool:
        return await measured(cluster, ingest, "my500_spool_events") == 0

    await until(is_empty)
    for node in (2, 3):
        await asyncio.to_thread(three.kill, node)
    try:
        await send(cluster, ingest, range(21, 61))

        async def is_named() -> bool:
            return (await told(cluster, ingest)).startswith(SENTENCE)

        async def is_tried_again() -> bool:
            return await measured(cluster, ingest, GIVEN_UP) >= 3

        await until(is_named)
        await until(is_tried_again)
        # As they return, some partitions have their replicas sooner than others.
        assert lines(ingest, "spool_record_held") == 0
    finally:
        await asyncio.to_thread(three.start, 2, 3)
    await until(is_empty, 30)

    topic = f"{cluster.environment['KAFKA_TOPIC_PREFIX']}{PERSONS}"
    await arrived(three, topic, range(PARTITIONS), 60)
    assert lines(ingest, "producer_given_up") == 1
    assert "Traceback" not in ingest.log.read_text()


async def test_a_partition_that_nobody_leads_holds_up_no_others(
    three: Brokers, cluster: Cluster
) -> None:
    ingest = await started(three, cluster, copies=1)
    topic = f"{cluster.environment['KAFKA_TOPIC_PREFIX']}{PERSONS}"
    led = await leaders(three, topic)
    gone = next(node for node in (2, 3) if node in led.values())
    lost = {partition for partition, leader in led.items() if leader == gone}
    await asyncio.to_thread(three.kill, gone)
    try:
        await send(cluster, ingest, range(1, 121))

        living = [each for each in range(PARTITIONS) if each not in lost]
        wanted = [each for each in range(1, 121) if partition_of(each) not in lost]
        await arrived(three, topic, living, len(wanted))
    finally:
        await asyncio.to_thread(three.start, gone)
    await arrived(three, topic, range(PARTITIONS), 120)
    assert lines(ingest, "spool_record_held") == 1
    assert "Traceback" not in ingest.log.read_text()
