"""What a transaction made true is told, in order, once it is true."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import client as kafka_client

from devstack import postgres
from shared import db, lifecycle, outbox, service, topics
from shared.errors import Unavailable
from shared.events import dump, parse
from shared.kafka import fencing
from shared.kafka.client import physical
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Record
from shared.settings import Settings
from shared.states import ContactLink
from tests.support import infra as servers
from tests.support import proxy
from tests.support.infra import Infra
from tests.support.proxy import Proxy
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SCHEMA = "telling"
CUT_OFF = """
SELECT count(pg_terminate_backend(pid))
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'my500-telling-own'
"""


@pytest.fixture
def settings(infra: Any, topic_prefix: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=topic_prefix, kafka_partitions=3
    )


@pytest.fixture
async def pool(settings: Settings, database_url: str, tmp_path: Path) -> AsyncIterator[db.Pool]:
    stop = asyncio.Event()
    await service.prepare_store(database_url, SCHEMA, tmp_path, stop)
    await service.prepare_topics(settings, [topics.CONTACT_LINKS], stop)
    async with db.pool(database_url, SCHEMA, size=4) as pool:
        yield pool


def link(person_id: int, version: int) -> ContactLink:
    return ContactLink(version=version, company_id=1, person_id=person_id)


def fenced(settings: Settings, deadline_s: float = 10) -> FencedPublisher:
    return FencedPublisher(settings, SCHEMA, deadline_s=deadline_s)


async def tell(pool: db.Pool, *links: ContactLink) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await outbox.put(conn, topics.CONTACT_LINKS, links)


class Making:
    """Links as they are asked for; and how many had been made each time that others had a turn."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._made = 0
        self.met: list[int] = []

    def links(self) -> Iterator[ContactLink]:
        for number in range(1, self._count + 1):
            self._made = number
            yield link(number, 1)

    async def meet(self) -> None:
        while True:
            self.met.append(self._made)
            await asyncio.sleep(0)


async def test_many_states_are_written_down_by_pieces_and_none_is_left_out(pool: db.Pool) -> None:
    making = Making(10_000)

    async with asyncio.TaskGroup() as group:
        beside = group.create_task(making.meet())
        async with pool.acquire() as conn, conn.transaction():
            await outbox.put(conn, topics.CONTACT_LINKS, making.links())
        beside.cancel()

    assert max(after - before for before, after in pairwise(making.met)) <= outbox.PIECE
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 10_000


class Relaying:
    """A relay in the background of a `with` block."""

    def __init__(self, dsn: str, publisher: FencedPublisher) -> None:
        self._relay = outbox.Relay(dsn, SCHEMA, publisher)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._relay.run(self._stop))

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task


async def emptied(pool: db.Pool) -> None:
    async def is_empty() -> bool:
        return not await pool.fetchval("SELECT count(*) FROM outbox")

    await until(is_empty)


async def published(settings: Settings) -> list[ContactLink]:
    """All that stands in the topic, partition by partition in order."""
    topic = physical(settings, topics.CONTACT_LINKS.name)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[ContactLink] = []
        async with asyncio.timeout(20):
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [parse(ContactLink, record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def test_what_is_committed_is_told_and_leaves_the_outbox(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    async with fenced(settings) as publisher, Relaying(database_url, publisher):
        await tell(pool, link(1, 1), link(2, 1))
        await emptied(pool)

    assert {fact.person_id for fact in await published(settings)} == {1, 2}


async def test_what_is_rolled_back_is_never_told(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    async with fenced(settings) as publisher, Relaying(database_url, publisher):
        async with pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await outbox.put(conn, topics.CONTACT_LINKS, [link(1, 1)])
            await transaction.rollback()
        await tell(pool, link(2, 1))
        await emptied(pool)

    assert [fact.person_id for fact in await published(settings)] == [2]


async def test_states_of_a_key_that_wait_are_told_as_one(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    for version in range(1, 6):
        await tell(pool, link(1, version))

    async with fenced(settings) as publisher, Relaying(database_url, publisher):
        await emptied(pool)

    assert [fact.version for fact in await published(settings)] == [5]


@pytest.mark.parametrize(("end", "versions"), [("commit", [1, 2]), ("rollback", [1])])
async def test_a_state_that_is_being_replaced_holds_up_no_other_and_is_told_once(
    settings: Settings, pool: db.Pool, database_url: str, end: str, versions: list[int]
) -> None:
    """Who replaces it may take long to its commit, or wait for what the relay takes out."""

    class Overtaken(FencedPublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            if not is_overtaken.is_set():
                await transaction.start()
                await outbox.put(slow, topics.CONTACT_LINKS, [link(1, 2)])
                is_overtaken.set()
            await super().publish(records)

    async def only_that_waits() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM outbox") == 1)

    is_overtaken = asyncio.Event()
    await tell(pool, link(1, 1))
    async with pool.acquire() as slow:
        transaction = slow.transaction()
        async with (
            Overtaken(settings, SCHEMA, deadline_s=10) as publisher,
            Relaying(database_url, publisher),
        ):
            await is_overtaken.wait()
            await tell(pool, link(2, 1))
            await until(only_that_waits)
            await getattr(transaction, end)()
            await emptied(pool)

    told = [(fact.person_id, fact.version) for fact in await published(settings)]
    assert sorted(told) == [*((1, version) for version in versions), (2, 1)]


async def test_a_relay_that_is_cut_off_twice_has_two_outages(
    settings: Settings, pool: db.Pool, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def told(message: str) -> int:
        return sum(record.message == message for record in caplog.records)

    async with fenced(settings) as publisher, Relaying(database_url, publisher):
        for number in (1, 2):
            await tell(pool, link(number, 1))
            await emptied(pool)
            assert await pool.fetchval(CUT_OFF)

            async def goes_on(times: int = number) -> bool:
                return told("outage_ended") == times

            await until(goes_on)

    assert told("outage_began") == 2


async def test_the_versions_of_a_key_never_go_back_with_two_relays(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    async with (
        fenced(settings) as one,
        fenced(settings) as other,
        Relaying(database_url, one),
        Relaying(database_url, other),
    ):
        for version in range(1, 101):
            await tell(pool, *(link(person, version) for person in range(5)))
        await emptied(pool)

    told = await published(settings)
    for person in range(5):
        versions = [fact.version for fact in told if fact.person_id == person]
        assert versions == sorted(versions)
        assert versions[-1] == 100


class Holding(Proxy):
    """Holds back the first request that carries `told`, and what its connection sends after it."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.told = b""
        self.has_held = asyncio.Event()
        self.let_go = asyncio.Event()

    async def _heard(self, chunk: bytes) -> None:
        if self.told in chunk and not self.has_held.is_set():
            self.has_held.set()
            await self.let_go.wait()


async def test_what_a_relay_sent_before_it_lost_the_lock_does_not_follow_what_the_next_one_told(
    infra: Infra,
    settings: Settings,
    pool: db.Pool,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = kafka_client.create_conn

    async def by_way_of_the_relay(host: str, port: int, **more: Any) -> Any:
        """Wherever the broker says that it is."""
        return await connect(host, network.port, **more)

    monkeypatch.setattr(kafka_client, "create_conn", by_way_of_the_relay)
    async with (
        proxy.before(f"kafka://{infra.kafka}", Holding) as network,
        fenced(settings, deadline_s=60) as one,
        fenced(settings, deadline_s=60) as other,
    ):
        network.told = dump(link(1, 1))
        await tell(pool, link(1, 1))
        async with Relaying(database_url, one):
            await network.has_held.wait()
            await tell(pool, link(1, 2))
            assert await pool.fetchval(CUT_OFF)
            async with Relaying(database_url, other):
                await emptied(pool)
            network.let_go.set()

        assert [fact.version for fact in await published(settings)] == [2]


async def test_a_relay_that_lost_the_lock_as_it_took_over_at_kafka_tells_nothing_that_it_had_read(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    class Late(FencedPublisher):
        async def take_over(self) -> None:
            is_about_to.set()
            await go_on.wait()
            await super().take_over()
            has_taken_over.set()

    is_about_to, go_on, has_taken_over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    await tell(pool, link(1, 1))
    async with (
        Late(settings, SCHEMA, deadline_s=60) as one,
        fenced(settings, deadline_s=60) as other,
        Relaying(database_url, one),
    ):
        await is_about_to.wait()
        await tell(pool, link(1, 2))
        assert await pool.fetchval(CUT_OFF)
        async with Relaying(database_url, other):
            await emptied(pool)
            go_on.set()
            await has_taken_over.wait()
            await tell(pool, link(1, 3))
            await emptied(pool)

    assert [fact.version for fact in await published(settings)] == [2, 3]


async def test_a_relay_takes_over_again_before_kafka_forgets_that_it_did(
    settings: Settings, pool: db.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(FencedPublisher):
        times = 0

        async def take_over(self) -> None:
            self.times += 1
            await super().take_over()

    monkeypatch.setattr(fencing, "EPOCH_S", 0.0)
    async with (
        Counting(settings, SCHEMA, deadline_s=10) as publisher,
        Relaying(database_url, publisher),
    ):
        for version in (1, 2, 3):
            await tell(pool, link(1, version))
            await emptied(pool)

    assert publisher.times == 3
    assert [fact.version for fact in await published(settings)] == [1, 2, 3]


async def test_a_relay_that_dies_after_publishing_tells_it_again(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    class Dying(FencedPublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            await super().publish(records)
            raise asyncio.CancelledError  # as if the process ended here

    await tell(pool, link(1, 1))
    async with Dying(settings, SCHEMA, deadline_s=10) as publisher:
        with pytest.raises(asyncio.CancelledError):
            await outbox.Relay(database_url, SCHEMA, publisher).run(asyncio.Event())
    async with fenced(settings) as publisher, Relaying(database_url, publisher):
        await emptied(pool)

    assert [fact.version for fact in await published(settings)] == [1, 1]


async def test_kafka_that_does_not_ack_keeps_the_outbox_as_it_is(
    settings: Settings, pool: db.Pool, database_url: str
) -> None:
    class Deaf(FencedPublisher):
        failures = 0

        async def publish(self, records: Sequence[Record]) -> None:
            if self.failures < 3:
                self.failures += 1
                raise Unavailable("Kafka: away")
            await super().publish(records)

    await tell(pool, link(1, 1))
    async with (
        Deaf(settings, SCHEMA, deadline_s=10) as publisher,
        Relaying(database_url, publisher),
    ):
        await emptied(pool)

    assert [fact.version for fact in await published(settings)] == [1]


async def test_a_relay_that_alone_cannot_reach_kafka_gives_its_turn_to_another(
    settings: Settings, pool: db.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "IDLE_S", 0.02)
    monkeypatch.setattr(outbox, "TURN_S", 0.2)
    monkeypatch.setattr(lifecycle, "LONGEST_WAIT_S", 0.1)
    tried = asyncio.Event()

    class CutOff(FencedPublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            tried.set()
            raise Unavailable("Kafka: away")

    await tell(pool, link(1, 1))
    async with (
        CutOff(settings, SCHEMA, deadline_s=10) as one,
        fenced(settings) as other,
        Relaying(database_url, one),
    ):
        await tried.wait()
        async with Relaying(database_url, other):
            await emptied(pool)


async def test_of_two_relays_one_waits_for_kafka_and_tells_of_it_once(
    settings: Settings,
    pool: db.Pool,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(outbox, "IDLE_S", 0.02)
    monkeypatch.setattr(lifecycle, "LONGEST_WAIT_S", 0.2)
    tries = []

    class Deaf(FencedPublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            tries.append(self)
            if len(tries) < 20:
                raise Unavailable("Kafka: away")
            await super().publish(records)

    await tell(pool, link(1, 1))
    async with (
        Deaf(settings, SCHEMA, deadline_s=10) as one,
        Deaf(settings, SCHEMA, deadline_s=10) as other,
        Relaying(database_url, one),
        Relaying(database_url, other),
    ):
        await emptied(pool)

    assert len(set(tries)) == 1
    told = [record.message for record in caplog.records if record.name == "shared.lifecycle"]
    assert told == ["outage_began", "outage_ended"]


@contextmanager
def lazy_disk(infra: Infra) -> Iterator[None]:
    """What nobody waits for is written seconds later."""
    postgres.ask(infra.database, "ALTER SYSTEM SET wal_writer_delay = '10s'")
    postgres.ask(infra.database, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        postgres.ask(infra.database, "ALTER SYSTEM RESET wal_writer_delay")
        postgres.ask(infra.database, "SELECT pg_reload_conf()")


async def test_what_was_told_outlives_a_crash_of_postgres(
    killable: Infra, topic_prefix: str, tmp_path: Path
) -> None:
    """Whoever made it true did not wait for the disk."""

    class Crashing(FencedPublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            if link(2, 1).key in {record.key for record in records}:
                await asyncio.to_thread(killable.kill, "postgres")
                await super().publish(records)
                stop.set()  # the relay is not there to tell it again
            else:
                await super().publish(records)

    stop = asyncio.Event()
    settings = Settings(
        kafka_bootstrap_servers=killable.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=3,
    )
    await service.prepare_topics(settings, [topics.CONTACT_LINKS], stop)
    with servers.new_database(killable) as dsn, lazy_disk(killable):
        await service.prepare_store(dsn, SCHEMA, tmp_path, stop)
        async with (
            db.pool(dsn, SCHEMA, size=1, durable=False) as pool,
            Crashing(settings, SCHEMA, deadline_s=20) as publisher,
        ):
            relaying = asyncio.create_task(outbox.Relay(dsn, SCHEMA, publisher).run(stop))
            await tell(pool, link(1, 1))
            await emptied(pool)
            await tell(pool, link(2, 1))
            await asyncio.wait_for(relaying, 60)
        await asyncio.to_thread(killable.start, "postgres")

        async with db.pool(dsn, SCHEMA, size=1) as pool:
            kept = await pool.fetch("SELECT key FROM outbox")

    assert [row["key"] for row in kept] == [link(2, 1).key]
    assert {fact.person_id for fact in await published(settings)} == {1, 2}


async def test_a_state_that_took_long_to_its_commit_is_told(
    settings: Settings, pool: db.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WHOLE_LOOK_S", 0.05)
    async with (
        fenced(settings) as publisher,
        Relaying(database_url, publisher),
        pool.acquire() as slow,
    ):
        async with slow.transaction():
            await outbox.put(slow, topics.CONTACT_LINKS, [link(1, 1)])
            for version in range(1, 6):
                await tell(pool, link(2, version))
                await emptied(pool)
        await emptied(pool)

    assert {fact.person_id for fact in await published(settings)} == {1, 2}
