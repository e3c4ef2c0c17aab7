"""Kafka away, in every way: whoever was told 2xx finds the event in the log in the end.

Where it does not matter in which way, it is silent: to start it anew takes ten times as long.
"""

import asyncio
import base64
import json
import resource
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from services.ingest.spool.disk import SILENT
from services.ingest.spool.file import NAME
from services.ingest.spool.rescue import CURRENT, NOTE
from services.ingest.spool.slots import LOCK
from shared import topics
from shared.events import PersonChange, parse
from shared.kafka.client import ensure_topics
from shared.settings import Settings
from tests.support.cluster import Cluster, Instance
from tests.support.infra import Infra
from tests.support.leases import unanswered
from tests.support.waiting import answers, until
from tests.unit.ingest.spool.test_spool import spoil_the_index

pytestmark = pytest.mark.integration

COMPANY = 7
TENANT = {"company_id": COMPANY, "webhook_user": "hook", "webhook_password": "secret"}
HEADER = "Basic " + base64.b64encode(b"hook:secret").decode()
SOON_S = 30.0
SENDERS_WAIT_S = 10.0
STOPS_S = 5.0
"""A client that waits for a silent broker is given some seconds to end."""


@contextmanager
def full_disk(instance: Instance, folder: Path) -> Iterator[None]:
    """No file of the process may grow beyond what its spool has by now."""
    process = instance.process.pid
    unlimited = resource.prlimit(process, resource.RLIMIT_FSIZE)
    largest = max(each.stat().st_size for each in spool_files(folder))
    resource.prlimit(process, resource.RLIMIT_FSIZE, (largest, unlimited[1]))
    yield
    resource.prlimit(process, resource.RLIMIT_FSIZE, unlimited)


@dataclass
class Sender:
    """Sends changes of a few persons, each person's in order, and remembers which were taken."""

    cluster: Cluster
    taken: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    sent: int = 0

    async def send(
        self, instance: Instance, person: str, name: str = "Ann", *, entity: str = "person"
    ) -> int:
        self.sent += 1
        event_id = f"{person}-{self.sent}"
        meta = {
            "action": "change",
            "company_id": str(COMPANY),
            "entity": entity,
            "entity_id": person,
            "id": event_id,
            "timestamp": "2026-05-27T06:54:41.426Z",
            "version": "2.0",
        }
        content = json.dumps({"data": {"id": int(person), "name": name}, "meta": meta})
        url = f"{instance.url}/webhooks/pipedrive"
        headers = {"Authorization": HEADER}
        try:
            async with self.cluster.http.post(url, data=content, headers=headers) as response:
                status = response.status
        except aiohttp.ClientError:
            status = 0
        if status == 200:
            self.taken[person].append(event_id)
        else:
            self.refused += 1
        return status

    async def send_some(self, instance: Instance, count: int, persons: Sequence[str]) -> None:
        """Each person's one after the other, all persons at once."""

        async def of(person: str) -> None:
            for _ in range(count):
                await self.send(instance, person)

        async with asyncio.TaskGroup() as group:
            for person in persons:
                group.create_task(of(person))


async def arrived(
    infra: Infra, prefix: str, expected: int, *, wanted: Collection[str] = ()
) -> dict[str, list[str]]:
    """The event ids by person, in the order of the log, once so many different ones are there,
    those that are wanted among them.
    """
    consumer = AIOKafkaConsumer(
        f"{prefix}pipedrive.persons",
        bootstrap_servers=infra.kafka,
        auto_offset_reset="earliest",
    )
    found: dict[str, list[str]] = defaultdict(list)

    async def is_connected() -> bool:
        """A broker that was just started turned one away, once in many runs."""
        try:
            await consumer.start()
        except KafkaConnectionError:
            return False
        return True

    try:
        await until(is_connected, SOON_S)
        async with asyncio.timeout(SOON_S):
            seen: set[str] = set()
            while len(seen) < expected or not seen.issuperset(wanted):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        change = parse(PersonChange, record.value)
                        found[str(change.entity_id)].append(change.event_id)
                        seen.add(change.event_id)
    finally:
        await consumer.stop()
    return found


def once(events: Sequence[str]) -> list[str]:
    """Each at its first place."""
    return list(dict.fromkeys(events))


async def waiting(cluster: Cluster, instance: Instance) -> float:
    return await measured(cluster, instance, "my500_spool_events")


async def measured(cluster: Cluster, instance: Instance, name: str) -> float:
    async with cluster.http.get(f"{instance.url}/metrics") as response:
        text = await response.text()
    lines = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[1])


async def tended(cluster: Cluster, instance: Instance) -> None:
    """Return once the spool has been looked after again, twice: it ages meanwhile."""
    name = "my500_spool_oldest_seconds"
    began = await measured(cluster, instance, name)

    async def is_older() -> bool:
        return await measured(cluster, instance, name) > began + 1

    await until(is_older)


async def readiness(cluster: Cluster, instance: Instance) -> tuple[int, dict[str, Any]]:
    async with cluster.http.get(f"{instance.url}/readyz") as response:
        return response.status, (await response.json())["data"]["dependencies"]


async def assert_refusing(sender: Sender, instance: Instance, reason: str) -> None:
    """It refuses, and is not ready, also after it was looked after; twice."""
    for _ in range(2):
        assert await sender.send(instance, "1", LONG) == 503
        await tended(sender.cluster, instance)
        status, told = await readiness(sender.cluster, instance)
        assert status == 503
        assert told["spool"].startswith(reason)


def spool_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"spool/*/*/{CURRENT}/{NAME}*"))


@pytest.fixture
async def cluster(killable: Infra, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": killable.kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_PARTITIONS": "3",
    }
    async with Cluster(tmp_path, environment) as cluster:
        cluster.write_tenants([TENANT])
        yield cluster


NO_USERS = {"JWT_SECRET": ""}
"""Without a key for their tokens. Else a process asks a silent Kafka for five seconds who is
refused before it is ready.
"""
PERSONS = [str(n) for n in range(1, 9)]
LONG = "x" * 5_000


async def test_a_full_spool_says_so_and_kafka_takes_what_it_has_no_room_for(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    instance = cluster.start("ingest", SPOOL_MAX_BYTES=str(16 * 1024))
    await cluster.ready(instance)
    async with killable.frozen("kafka"):

        async def is_full() -> bool:
            return await sender.send(instance, "1", LONG) == 503

        await until(is_full)
        assert len(sender.taken["1"]) == 3
        await assert_refusing(sender, instance, "the spool: full: it holds ")
        assert instance.log.read_text().count('"spool_refuses"') == 1

    async def is_taken() -> bool:
        return await sender.send(instance, "1", LONG) == 200

    await until(is_taken)
    await cluster.ready(instance)
    found = await arrived(killable, topic_prefix, len(sender.taken["1"]))
    assert set(found["1"]) == set(sender.taken["1"])


async def delete_topic(kafka: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()

    async def is_gone() -> bool:
        return name not in await admin.list_topics()

    try:
        await admin.delete_topics([name])
        await until(is_gone)
    finally:
        await admin.close()


async def test_a_topic_that_was_deleted_is_named_and_holds_up_no_others(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender, deals = Sender(cluster), Sender(cluster)
    instance = cluster.start("ingest")
    await cluster.ready(instance)
    assert await deals.send(instance, "1", entity="deal") == 200
    await delete_topic(killable.kafka, f"{topic_prefix}{topics.DEALS.name}")

    for number in range(20):
        assert await deals.send(instance, str(number), entity="deal") == 200
    await sender.send_some(instance, 5, PERSONS)
    found = await arrived(killable, topic_prefix, 5 * len(PERSONS))

    assert {person: once(events) for person, events in found.items()} == sender.taken
    sentence = f"degraded: events go to the spool: there is no topic {topics.DEALS.name}"

    async def is_named() -> bool:
        status, told = await readiness(cluster, instance)
        return (status, told["kafka"]) == (200, sentence)

    async def only_deals_wait() -> bool:
        # The very first may be among them: it may have come before Kafka had answered.
        return await waiting(cluster, instance) in (20, 21)

    await until(is_named)
    await until(only_deals_wait)
    assert instance.log.read_text().count('"topics_missing"') == 1
    assert "Exception in callback" not in instance.log.read_text()

    settings = Settings(
        kafka_bootstrap_servers=killable.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=3
    )
    await ensure_topics(settings, [topics.DEALS])

    async def is_drained() -> bool:
        return await waiting(cluster, instance) == 0

    await until(is_drained)


async def test_more_copies_than_there_are_brokers_are_named_where_topics_wait_for_them(
    cluster: Cluster,
) -> None:
    instance = cluster.start("ingest", KAFKA_REPLICATION_FACTOR="3")

    async def is_named() -> bool:
        return "replication factor of 3" in (await readiness(cluster, instance))[1]["kafka"]

    await cluster.ready(instance)
    await until(is_named)
    assert await Sender(cluster).send(instance, "1") == 200


async def test_a_topic_that_cannot_be_made_holds_up_no_others_from_the_start_on(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    first = cluster.start("ingest")
    await cluster.ready(first)
    await first.stop()
    await delete_topic(killable.kafka, f"{topic_prefix}{topics.DEALS.name}")
    sender, deals = Sender(cluster), Sender(cluster)

    instance = cluster.start("ingest", KAFKA_REPLICATION_FACTOR="3")
    await cluster.ready(instance)
    assert await deals.send(instance, "1", entity="deal") == 200
    await sender.send_some(instance, 5, PERSONS)
    found = await arrived(killable, topic_prefix, 5 * len(PERSONS))

    assert {person: once(events) for person, events in found.items()} == sender.taken

    async def is_told_why() -> bool:
        said = (await readiness(cluster, instance))[1]["kafka"]
        return topics.DEALS.name in said and "replication factor of 3" in said

    async def only_the_deal_waits() -> bool:
        return await waiting(cluster, instance) == 1

    await until(is_told_why)
    await until(only_the_deal_waits)


async def test_where_the_spool_takes_nothing_a_slow_kafka_is_waited_for(
    killable: Infra, cluster: Cluster
) -> None:
    (cluster.folder / "spool").touch()  # in the place of the folder
    sender = Sender(cluster)
    instance = cluster.start("ingest")
    await cluster.ready(instance)

    async def is_taken() -> bool:
        return await sender.send(instance, "1") == 200

    await until(is_taken)
    async with killable.frozen("kafka"):
        sent = asyncio.ensure_future(sender.send(instance, "1"))
        done, _ = await asyncio.wait([sent], timeout=1.0)
        assert not done
    assert await sent == 200


async def test_a_disk_that_is_full_says_so_until_it_takes_what_it_refused(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    async with killable.frozen("kafka"):
        instance = cluster.start("ingest", **NO_USERS)
        await cluster.ready(instance)
        await sender.send_some(instance, 5, PERSONS)

        async def is_refused() -> bool:
            return await sender.send(instance, "1", LONG) == 503

        for episode in (1, 2):
            with full_disk(instance, cluster.folder):
                await until(is_refused)
                await assert_refusing(sender, instance, "the spool: SQLITE_")
                assert instance.log.read_text().count('"spool_refuses"') == episode
            await cluster.ready(instance)
            assert await sender.send(instance, "1", LONG) == 200

    taken = sum(map(len, sender.taken.values()))
    found = await arrived(killable, topic_prefix, taken)
    assert {person: once(events) for person, events in found.items()} == sender.taken


async def test_without_an_answer_from_its_disk_it_starts_and_passes_on_what_kafka_takes(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    with unanswered(cluster.folder / "spool" / topic_prefix / "1" / LOCK):
        instance = cluster.start("ingest", **NO_USERS)
        await cluster.ready(instance)
        assert await sender.send(instance, "1") == 200
        said = (await readiness(cluster, instance))[1]["spool"]
        assert said.startswith("degraded: ")
        assert said.endswith(SILENT)
    await arrived(killable, topic_prefix, 1)

    async def all_is_well() -> bool:
        return set((await readiness(cluster, instance))[1].values()) == {"ok"}

    await until(all_is_well)


async def test_a_disk_that_stops_answering_holds_up_no_sender_and_not_kafka_either(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    instance = cluster.start("ingest", **NO_USERS)
    await cluster.ready(instance)
    dead = spool_files(cluster.folder)[0].parents[2] / "2"

    async def is_refused() -> bool:
        async with asyncio.timeout(SENDERS_WAIT_S):
            return await sender.send(instance, "1") == 503

    async def is_taken() -> bool:
        async with asyncio.timeout(SENDERS_WAIT_S):
            return await sender.send(instance, "1") == 200

    async def is_drained() -> bool:
        return await waiting(cluster, instance) == 0

    async with killable.frozen("kafka"):
        await sender.send_some(instance, 5, PERSONS)
        (dead / CURRENT).mkdir(parents=True)
        with unanswered(dead / LOCK):
            (dead / CURRENT / NAME).touch()  # looked for every five seconds
            await until(is_refused)
            status, told = await readiness(cluster, instance)
            assert (status, told["spool"]) == (503, f"the spool: {SILENT}")
            assert await answers(cluster.http, f"{instance.url}/healthz")
            await asyncio.to_thread(killable.thaw, "kafka")
            await until(is_taken)
            assert await waiting(cluster, instance) >= 40, "it still waits for the disk"
    await until(is_drained)

    taken = [event for events in sender.taken.values() for event in events]
    await arrived(killable, topic_prefix, len(taken), wanted=taken)


async def test_kafka_away_from_the_start_and_a_crash_lose_nothing_and_keep_the_order(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    await asyncio.to_thread(killable.kill, "kafka")
    try:
        first = cluster.start("ingest")
        await cluster.ready(first)
        status, told = await readiness(cluster, first)
        assert status == 200
        assert told["kafka"].startswith("degraded: events go to the spool")
        await sender.send_some(first, 20, PERSONS)
        first.kill()

        second = cluster.start("ingest")
        await cluster.ready(second)
        assert (sender.refused, await waiting(cluster, second)) == (0, 160)
        await sender.send_some(second, 10, PERSONS)
    finally:
        await asyncio.to_thread(killable.start, "kafka")
    await sender.send_some(second, 10, PERSONS)

    found = await arrived(killable, topic_prefix, 8 * 40)

    assert {person: once(events) for person, events in found.items()} == sender.taken

    async def all_is_well() -> bool:
        told = (await readiness(cluster, second))[1]
        return told == dict.fromkeys(("kafka", "spool", "tenants", "refusals"), "ok")

    await until(all_is_well)
    assert await second.stop() == 0


async def test_a_spool_that_filled_its_disk_is_sent_once_and_the_disk_is_free_again(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    """Though nothing can be taken out of it one by one."""
    sender = Sender(cluster)
    async with killable.frozen("kafka"):
        instance = cluster.start("ingest")
        await cluster.ready(instance)
        await sender.send_some(instance, 5, PERSONS)

        async def is_refused() -> bool:
            return await sender.send(instance, "1", LONG) == 503

        async def is_taken() -> bool:
            return await sender.send(instance, "1", LONG) == 200

        async def all_is_well() -> bool:
            told = (await readiness(cluster, instance))[1]
            return told == dict.fromkeys(("kafka", "spool", "tenants", "refusals"), "ok")

        with full_disk(instance, cluster.folder):
            for episode in (1, 2):
                await until(is_refused)
                await asyncio.to_thread(killable.thaw, "kafka")
                await until(is_taken)
                await until(all_is_well)
                assert await measured(cluster, instance, "my500_spool_drained_total") == (
                    await measured(cluster, instance, "my500_spool_stored_total")
                )
                assert instance.log.read_text().count('"spool_not_drained"') == episode
                await asyncio.to_thread(killable.freeze, "kafka")

    # Kafka may have what it had not acked when it was killed, and the sender was refused.
    taken = [event for events in sender.taken.values() for event in events]
    await arrived(killable, topic_prefix, len(taken), wanted=taken)


async def test_a_kafka_that_hangs_is_not_waited_for(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    instance = cluster.start("ingest")
    await cluster.ready(instance)
    await sender.send_some(instance, 5, PERSONS)
    await arrived(killable, topic_prefix, 40)

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.send_some(instance, 150, PERSONS))
        async with killable.frozen("kafka"):
            began = loop.time()
            await sender.send_some(instance, 50, ["9"])
            took = loop.time() - began

    found = await arrived(killable, topic_prefix, 8 * 155 + 50)
    assert sender.refused == 0
    assert took < 5
    assert {person: sorted(once(events)) for person, events in found.items()} == {
        person: sorted(events) for person, events in sender.taken.items()
    }


async def test_what_a_dead_instance_left_is_taken_over(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    living, dying = cluster.start("ingest"), cluster.start("ingest")
    for instance in (living, dying):
        await cluster.ready(instance)
    await asyncio.to_thread(killable.kill, "kafka")
    try:
        await sender.send_some(living, 5, PERSONS[:4])
        await sender.send_some(dying, 30, PERSONS[4:])
        dying.kill()

        async def is_taken_over() -> bool:
            return await waiting(cluster, living) == 140

        await until(is_taken_over)
    finally:
        await asyncio.to_thread(killable.start, "kafka")

    found = await arrived(killable, topic_prefix, 140)

    assert sender.refused == 0
    assert {person: once(events) for person, events in found.items()} == sender.taken

    async def one_file_is_left() -> bool:
        return len({each.parent for each in spool_files(cluster.folder)}) == 1

    await until(one_file_is_left)


@pytest.mark.parametrize("damage", ["torn log", "garbage in the file", "no database"])
async def test_a_damaged_spool_is_put_aside_and_the_rest_goes_on(
    killable: Infra, topic_prefix: str, cluster: Cluster, damage: str
) -> None:
    sender = Sender(cluster)
    async with killable.frozen("kafka"):
        # It waits for a Kafka that is silent as long as it may.
        first = cluster.start("ingest", STOP_SECONDS="1", **NO_USERS)
        await cluster.ready(first)
        await sender.send_some(first, 100, PERSONS)
        if damage == "torn log":
            first.kill()
        else:
            await first.stop()
        spoil(spool_files(cluster.folder), damage)
        kept = dict(sender.taken)
        sender.taken.clear()
        second = cluster.start("ingest", **NO_USERS)
        await cluster.ready(second)
        await sender.send_some(second, 5, PERSONS)
        assert sender.refused == 0

    async def is_drained() -> bool:
        is_read = len(moved(cluster.folder)) == (damage != "torn log")
        return is_read and await waiting(cluster, second) == 0

    await until(is_drained)
    least = 700 if damage == "garbage in the file" else 0
    assert sum(moved(cluster.folder)) >= least
    later = [each for events in sender.taken.values() for each in events]
    found = await arrived(killable, topic_prefix, max(least, 40), wanted=later)
    for person, events in sender.taken.items():
        assert [each for each in once(found[person]) if each in events] == events
        rescued = [each for each in once(found[person]) if each not in events]
        assert [each for each in kept[person] if each in rescued] == rescued


@pytest.mark.parametrize("has_users", [True, False])
async def test_a_process_that_starts_beside_a_silent_kafka_also_stops_soon(
    killable: Infra, cluster: Cluster, *, has_users: bool
) -> None:
    """It waits for the topics and, to serve users, for who is refused."""
    async with killable.frozen("kafka"):
        instance = cluster.start("ingest", **({} if has_users else NO_USERS))
        await cluster.ready(instance)
        began = time.monotonic()

        assert await instance.stop() == 0

        assert time.monotonic() - began < STOPS_S, instance.log.read_text()


async def test_a_spool_that_is_damaged_and_cannot_be_replaced_does_not_keep_kafka_from_being_back(
    killable: Infra, topic_prefix: str, cluster: Cluster
) -> None:
    sender = Sender(cluster)
    async with killable.frozen("kafka"):
        instance = cluster.start("ingest", **NO_USERS)
        await cluster.ready(instance)
        await sender.send_some(instance, 5, PERSONS)
        slot = spool_files(cluster.folder)[0].parents[1]
        file = slot.rename(slot.with_name("elsewhere")) / CURRENT / NAME
        slot.touch()  # in the place of the folder
        spoil_the_index(file)

        async def is_closed() -> bool:
            return "spool_not_opened" in instance.log.read_text()

        await until(is_closed)
        sender.taken.clear()

    await cluster.ready(instance)
    told = (await readiness(cluster, instance))[1]
    assert (told["kafka"], told["spool"].partition(":")[0]) == ("ok", "degraded")
    await sender.send_some(instance, 5, PERSONS)
    await arrived(killable, topic_prefix, 40, wanted=sender.taken["1"])


def moved(folder: Path) -> list[int]:
    """How many records were read out of each damaged file, where that is over."""
    return [int(each.read_text() or 0) for each in folder.glob(f"spool/*/*/damaged-*/{NOTE}")]


def spoil(files: Sequence[Path], damage: str) -> None:
    by_name = {each.name: each for each in files}
    match damage:
        case "torn log":
            log = by_name[f"{NAME}-wal"]
            with log.open("r+b") as file:
                file.truncate(log.stat().st_size - 3000)
                file.seek(-500, 2)
                file.write(b"\0" * 500)
        case "garbage in the file":
            with by_name[NAME].open("r+b") as file:
                file.seek(8 * 4096)
                file.write(b"garbage!" * 1024)
        case _:
            by_name[NAME].write_bytes(b"no database at all" * 1000)
