"""The consumer's law on a real broker and a real Postgres."""

import asyncio
import secrets
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared import db, lifecycle, service, topics
from shared.errors import Poison, Unavailable
from shared.events import Action, Note, NoteChange, Source, dump
from shared.kafka import assignment, client
from shared.kafka import consumer as kafka_consumer
from shared.kafka import dead_letters as kafka_dead_letters
from shared.kafka.assignment import Assignment
from shared.kafka.client import MAX_MESSAGE_BYTES, ensure_topics, physical
from shared.kafka.consumer import AfterCommit, Apply, Consumer, Received
from shared.kafka.dead_letters import ATTEMPTS
from shared.kafka.publisher import Publisher, Record
from shared.observability import OUTAGE_WAITS
from shared.rebuild import command as rebuild
from shared.rebuild import schemas
from shared.rebuild.plan import Plan
from shared.settings import StoreSettings
from tests.support import proxy
from tests.support.infra import Infra
from tests.support.proxy import Weather
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SCHEMA = "noted"
TABLE = "CREATE TABLE noted (entity_id text NOT NULL, version bigint NOT NULL, content text);"
NOTE = "INSERT INTO noted SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])"


@pytest.fixture
def settings(infra: Any, topic_prefix: str) -> StoreSettings:
    return StoreSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=4,
    )


@pytest.fixture
async def pool(
    settings: StoreSettings, database_url: str, tmp_path: Path
) -> AsyncIterator[db.Pool]:
    (tmp_path / "0001_noted.sql").write_text(TABLE)
    stop = asyncio.Event()
    await service.prepare_store(database_url, SCHEMA, tmp_path, stop)
    await service.prepare_topics(settings, [topics.NOTES], stop)
    async with db.pool(database_url, SCHEMA, size=5) as pool:
        yield pool


@pytest.fixture
async def publisher(settings: StoreSettings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, deadline_s=10) as publisher:
        yield publisher


def a_note(number: int, content: str = "", version: int = 1) -> Record:
    now = datetime.now(UTC)
    change = NoteChange(
        event_id=secrets.token_hex(4),
        company_id=1,
        entity="note",
        entity_id=str(number),
        action=Action.CHANGE,
        version=version,
        occurred_at=now,
        received_at=now,
        source=Source.WEBHOOK_V2,
        data=Note(content=content),
    )
    return Record(topics.NOTES.name, change.key, dump(change))


async def note_down(conn: db.Connection, facts: Sequence[Received]) -> None:
    """Not idempotent on purpose: a batch applied twice shows."""
    rows = [(f.fact.entity_id, f.fact.version, f.fact.data.content) for f in facts]
    await conn.execute(NOTE, *db.columns(rows, 3))


def noting(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    apply: Apply = note_down,
    **more: Any,
) -> Consumer:
    return Consumer(
        settings,
        service="noting",
        topics=[topics.NOTES],
        pool=pool,
        apply=apply,
        publisher=publisher,
        **more,
    )


@asynccontextmanager
async def consuming(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    apply: Apply = note_down,
    **more: Any,
) -> AsyncIterator[Consumer]:
    consumer = noting(settings, pool, publisher, apply, **more)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.run(stop))
        group.create_task(consumer.watch(stop))
        try:
            yield consumer
        finally:
            stop.set()


async def noted(pool: db.Pool) -> list[str]:
    rows = await pool.fetch("SELECT entity_id FROM noted ORDER BY entity_id::bigint")
    return [row["entity_id"] for row in rows]


def has_noted(pool: db.Pool, count: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return len(await noted(pool)) >= count

    return reached


async def is_member(consumer: Consumer) -> bool:
    try:
        await consumer.ping()
    except Unavailable:
        return False
    return True


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def dead_letters(settings: StoreSettings, count: int) -> list[Any]:
    """All there are, once there are so many."""
    consumer = AIOKafkaConsumer(
        physical(settings, "pipedrive.notes.dlq"),
        bootstrap_servers=settings.kafka_bootstrap_servers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        found: list[Any] = []
        async with asyncio.timeout(20):
            while len(found) < count or await behind(consumer):
                batches = await consumer.getmany(timeout_ms=200)
                found += [record for records in batches.values() for record in records]
        return found
    finally:
        await consumer.stop()


async def behind(consumer: AIOKafkaConsumer) -> bool:
    ends = await consumer.end_offsets(consumer.assignment())
    return any([await consumer.position(each) < end for each, end in ends.items()])


async def test_every_record_is_applied_once_and_the_offsets_say_so(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    await publisher.publish([a_note(n) for n in range(200)])

    async with consuming(settings, pool, publisher):
        await until(has_noted(pool, 200))

    assert await noted(pool) == numbers(200)
    assert await pool.fetchval("SELECT sum(next_offset) FROM consumer_offsets") == 200


async def test_what_is_passed_over_is_not_read_and_the_offsets_move_past_it(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    unreadable = Record(topics.NOTES.name, b"1:9", b"{of no concern")
    await publisher.publish([unreadable, a_note(0), unreadable, a_note(1), unreadable])

    async def has_moved() -> bool:
        return await pool.fetchval("SELECT sum(next_offset) FROM consumer_offsets") == 5

    is_of_no_concern = unreadable.value.__eq__
    async with consuming(settings, pool, publisher, passes_over=is_of_no_concern):
        await until(has_moved)

    assert await noted(pool) == numbers(2)


async def test_a_record_does_not_stand_behind_what_has_piled_up_in_other_partitions(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    settings = settings.model_copy(update={"batch_records": 20})
    await publisher.publish([a_note_of_one_key(n) for n in range(1_000)])
    applied: list[str] = []

    async def note_down_and_hear_of_another(
        conn: db.Connection, facts: Sequence[Received]
    ) -> None:
        if not applied:
            await publisher.publish([a_note(n) for n in range(1_000, 1_040)])
        applied.extend(f.fact.entity_id for f in facts)
        await note_down(conn, facts)

    async with consuming(settings, pool, publisher, note_down_and_hear_of_another):
        await until(has_noted(pool, 1_040))

    elsewhere = [place for place, entity_id in enumerate(applied) if int(entity_id) >= 1_000]
    assert len(applied) == 1_040
    assert elsewhere[20] < 500


async def test_a_restart_goes_on_where_the_store_stands(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    await publisher.publish([a_note(n) for n in range(50)])
    async with consuming(settings, pool, publisher):
        await until(has_noted(pool, 50))
    await publisher.publish([a_note(n) for n in range(50, 100)])

    async with consuming(settings, pool, publisher):
        await until(has_noted(pool, 100))

    assert await noted(pool) == numbers(100)


async def test_unreadable_records_become_dead_letters_and_their_neighbours_are_applied(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    poison = Record(topics.NOTES.name, b"1:x", b"{broken", [("trace", b"7")])
    await publisher.publish([a_note(0), poison, a_note(1)])

    async with consuming(settings, pool, publisher):
        await until(has_noted(pool, 2))
        [letter] = await dead_letters(settings, 1)

    headers = {name: value.decode() for name, value in letter.headers}
    assert (letter.key, letter.value) == (b"1:x", b"{broken")
    assert headers["topic"] == "pipedrive.notes"
    assert headers["offset"].isdigit()
    assert headers["partition"].isdigit()
    assert "not a" in headers["reason"]
    assert await noted(pool) == numbers(2)


async def test_what_postgres_refuses_is_singled_out_of_its_batch(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    records = [a_note(n, "bad\x00text" if n == 37 else "") for n in range(100)]
    await publisher.publish(records)

    async with consuming(settings, pool, publisher):
        await until(has_noted(pool, 99))
        [letter] = await dead_letters(settings, 1)

    assert letter.key == b"1:37"
    assert await noted(pool) == [n for n in numbers(100) if n != "37"]
    assert await pool.fetchval("SELECT sum(next_offset) FROM consumer_offsets") == 100


async def test_a_letter_is_written_once_however_often_its_batch_is_tried(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    tries = 0

    async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 4:
            raise Unavailable("something is away")
        await note_down(conn, facts)

    unreadable = Record(topics.NOTES.name, b"1:0", b"{broken")
    notes = [a_note(n, "bad\x00text" if n == 5 else "")._replace(key=b"1:0") for n in range(8)]
    await publisher.publish([*notes[:4], unreadable, *notes[4:]])

    async with consuming(settings, pool, publisher, apply):
        await until(has_noted(pool, 7))
        letters = await dead_letters(settings, 2)

    assert [letter.value for letter in letters] == [unreadable.value, notes[5].value]
    assert await noted(pool) == [n for n in numbers(8) if n != "5"]


async def test_an_outage_is_waited_out_and_nothing_is_skipped(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    tries = 0

    async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
        nonlocal tries
        tries += 1
        await note_down(conn, facts)
        if tries <= 3:
            raise Unavailable("something is away")

    await publisher.publish([a_note(n) for n in range(10)])

    async with consuming(settings, pool, publisher, apply):
        await until(has_noted(pool, 10))

    assert tries > 3
    assert await noted(pool) == numbers(10)


async def test_a_stop_in_an_outage_commits_nothing(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    tried = asyncio.Event()

    async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
        await note_down(conn, facts)
        tried.set()
        raise Unavailable("something is away")

    await publisher.publish([a_note(0)])
    async with consuming(settings, pool, publisher, apply):
        await asyncio.wait_for(tried.wait(), 20)

    assert await noted(pool) == []
    assert await pool.fetchval("SELECT sum(next_offset) FROM consumer_offsets") == 0


async def test_a_bug_ends_the_consumer(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
        raise KeyError("a bug")

    await publisher.publish([a_note(0)])
    consumer = noting(settings, pool, publisher, apply)

    with pytest.raises(KeyError):
        await asyncio.wait_for(consumer.run(asyncio.Event()), 20)


async def test_two_members_share_the_partitions_and_a_rebalance_doubles_nothing(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    shares: dict[str, int] = {}

    def counting(name: str) -> Apply:
        async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
            shares[name] = shares.get(name, 0) + len(facts)
            await note_down(conn, facts)

        return apply

    small = settings.model_copy(update={"batch_records": 10})
    await publisher.publish([a_note(n) for n in range(300)])
    async with consuming(small, pool, publisher, counting("first")):
        await until(has_noted(pool, 50))
        async with consuming(small, pool, publisher, counting("second")) as second:
            await until(has_noted(pool, 300))
            await until(lambda: is_member(second))
            await publisher.publish([a_note(n) for n in range(300, 600)])
            await until(has_noted(pool, 600))
        await publisher.publish([a_note(n) for n in range(600, 700)])
        await until(has_noted(pool, 700))

    assert await noted(pool) == numbers(700)
    assert set(shares) == {"first", "second"}


async def test_who_keeps_partitions_in_a_rebalance_stays_in_the_group(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing was ever read of them, and the store takes a moment to say so."""
    async with (
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), SCHEMA, size=2) as slow,
        consuming(settings, slow, publisher) as first,
    ):
        await until(lambda: is_member(first))
        await link.turn(Weather.SLOW, delay_s=0.1)
        async with consuming(settings, pool, publisher) as second:
            await until(lambda: is_member(second))
            await publisher.publish([a_note(n) for n in range(20)])
            await until(has_noted(pool, 20))

    assert times_told(caplog, "consumer_restarts") == 0
    assert await noted(pool) == numbers(20)


async def test_of_a_consumer_that_no_broker_lets_go_nothing_goes_on(
    killable: Infra, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "DEADLINE_S", 1.0)
    told = StoreSettings(kafka_bootstrap_servers=killable.kafka, kafka_topic_prefix=topic_prefix)
    await ensure_topics(told, [topics.NOTES])
    consumer = AIOKafkaConsumer(
        physical(told, topics.NOTES.name), **client.connection(told), group_id=topic_prefix
    )
    await consumer.start()

    async with killable.frozen("kafka"):
        error = await client.stopped(consumer)

    assert error is not None
    assert [task for task in asyncio.all_tasks() if "aiokafka" in repr(task)] == []


async def test_an_outage_is_told_once_each_way_however_often_a_batch_is_tried(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = OUTAGE_WAITS.labels("consumer")._value.get

    async with (
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), SCHEMA, size=2) as breakable,
        holding(settings, breakable, publisher),
    ):
        before = count()

        async def has_waited() -> bool:
            return bool(count() >= before + 3)

        await link.turn(Weather.REFUSED)
        await publisher.publish([a_note_of_one_key(10)])
        await until(has_waited)
        await link.turn(Weather.FAIR)
        await until(has_noted(pool, 11))
        await until(lambda: is_told(caplog, "outage_ended"))

    assert times_told(caplog, "outage_began") == times_told(caplog, "outage_ended") == 1


async def test_the_end_of_an_outage_is_told_where_nothing_is_to_be_applied(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(kafka_consumer, "STUCK_S", 1.0)

    async with (
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), SCHEMA, size=2) as breakable,
    ):
        await link.turn(Weather.REFUSED)
        async with consuming(settings, breakable, publisher):
            await until(lambda: is_told(caplog, "outage_began"))
            assert not times_told(caplog, "outage_ended")

            await link.turn(Weather.FAIR)
            await until(lambda: is_told(caplog, "outage_ended"))


async def test_a_lookup_in_flight_ends_with_the_consumer_it_was_asked_of(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise it opens a connection that nobody closes."""
    monkeypatch.setattr(client, "DEADLINE_S", 60.0)  # not what ends it
    is_asking, may_ask = asyncio.Event(), asyncio.Event()
    end_offsets = AIOKafkaConsumer.end_offsets

    async def slow_end_offsets(consumer: AIOKafkaConsumer, partitions: Any) -> Any:
        if asyncio.current_task() is lookup:
            is_asking.set()
            await may_ask.wait()
        return await end_offsets(consumer, partitions)

    stop = asyncio.Event()
    consumer = noting(settings, pool, publisher)
    running = asyncio.create_task(consumer.run(stop))
    await until(consumer.ends)
    monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", slow_end_offsets)
    lookup = asyncio.create_task(consumer.ends())
    await is_asking.wait()
    stop.set()
    await running
    may_ask.set()

    with pytest.raises(Unavailable):
        await lookup


async def test_a_lookup_that_is_just_timing_out_does_not_break_the_consumer_that_leaves(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_late, may_end = asyncio.Event(), asyncio.Event()
    end_offsets = AIOKafkaConsumer.end_offsets

    async def late_end_offsets(consumer: AIOKafkaConsumer, partitions: Any) -> Any:
        try:
            return await end_offsets(consumer, partitions)
        finally:
            if asyncio.current_task() is lookup:
                is_late.set()
                await may_end.wait()

    async with consuming(settings, pool, publisher) as consumer:
        await until(consumer.ends)
        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaConsumer, "end_offsets", late_end_offsets)
            patch.setattr(client, "DEADLINE_S", 0.0)
            lookup = asyncio.create_task(consumer.ends())
            await is_late.wait()
    may_end.set()

    with pytest.raises(Unavailable):
        await lookup


def times_told(caplog: pytest.LogCaptureFixture, message: str) -> int:
    return sum(record.message == message for record in caplog.records)


async def is_told(caplog: pytest.LogCaptureFixture, message: str) -> bool:
    return times_told(caplog, message) > 0


async def test_a_zombie_is_fenced_off_by_the_store(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    """Two members that both believe to own every partition: each in a group of its own."""
    other = settings.model_copy(
        update={"kafka_group_prefix": settings.kafka_group_prefix + "zombie"}
    )
    await publisher.publish([a_note(n) for n in range(300)])

    async with (
        consuming(settings.model_copy(update={"batch_records": 7}), pool, publisher),
        consuming(other.model_copy(update={"batch_records": 11}), pool, publisher),
    ):
        await until(has_noted(pool, 300))

    assert await noted(pool) == numbers(300)


@asynccontextmanager
async def holding(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> AsyncIterator[Assignment]:
    """A consumer that has noted ten records of one partition; what it holds can be taken away."""
    await publisher.publish([a_note_of_one_key(n) for n in range(10)])
    async with consuming(settings, pool, publisher) as consumer:
        await until(has_noted(pool, 10))
        yield consumer._assignment


def a_note_of_one_key(number: int) -> Record:
    return a_note(number)._replace(key=b"1:0")


def held_by(assignment: Assignment) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in assignment._next]


async def takes_back_the_last_commits(pool: db.Pool) -> None:
    """As a crash of Postgres does, where commits do not wait for the disk."""
    await pool.execute("DELETE FROM noted WHERE entity_id::bigint >= 5")
    await pool.execute("UPDATE consumer_offsets SET next_offset = 5 WHERE next_offset = 10")


async def test_a_batch_that_waits_through_a_crash_and_a_rebalance_leaves_no_hole(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It still waits when its partition has gone and come back."""
    monkeypatch.setattr(assignment, "DRAIN_S", 0.1)
    monkeypatch.setattr(lifecycle, "FIRST_WAIT_S", 4.0)

    async with (
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), SCHEMA, size=2) as breakable,
        holding(settings, breakable, publisher) as held,
    ):
        await link.turn(Weather.REFUSED)
        await publisher.publish([a_note_of_one_key(n) for n in range(10, 20)])
        await until(lambda: is_told(caplog, "outage_began"))
        await takes_back_the_last_commits(pool)
        partitions = held_by(held)
        await held.on_partitions_revoked(partitions)
        await link.turn(Weather.FAIR)
        await held.on_partitions_assigned(partitions)
        await until(has_noted(pool, 20))

    assert await noted(pool) == numbers(20)


async def test_what_was_fetched_before_a_rebalance_leaves_no_hole_after_it(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetch, was_overtaken = Consumer._fetch, False

    async def overtaken(consumer: Consumer, client: AIOKafkaConsumer) -> Any:
        nonlocal was_overtaken
        batches = await fetch(consumer, client)
        if not was_overtaken and any(records[-1].offset >= 10 for records in batches.values()):
            was_overtaken = True
            await takes_back_the_last_commits(pool)
            partitions = held_by(consumer._assignment)
            await consumer._assignment.on_partitions_revoked(partitions)
            await consumer._assignment.on_partitions_assigned(partitions)
        return batches

    monkeypatch.setattr(Consumer, "_fetch", overtaken)
    async with holding(settings, pool, publisher):
        await publisher.publish([a_note_of_one_key(n) for n in range(10, 20)])
        await until(has_noted(pool, 20))

    assert was_overtaken
    assert await noted(pool) == numbers(20)


async def test_a_rebalance_while_a_letter_is_written_ends_nothing_but_the_batch(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assignment, "DRAIN_S", 0.1)
    put_aside, is_revoked = kafka_dead_letters.put_aside, asyncio.Event()

    async with holding(settings, pool, publisher) as held:
        partitions = held_by(held)

        async def revoked(publisher: Publisher, letters: list[Record]) -> None:
            await put_aside(publisher, letters)
            if not is_revoked.is_set():
                await held.on_partitions_revoked(partitions)
                is_revoked.set()

        monkeypatch.setattr(kafka_dead_letters, "put_aside", revoked)
        poison = Record(topics.NOTES.name, b"1:0", b"{")
        await publisher.publish([a_note_of_one_key(10), poison, a_note_of_one_key(11)])
        await asyncio.wait_for(is_revoked.wait(), 20)
        await held.on_partitions_assigned(partitions)
        await until(has_noted(pool, 12))
        letters = await dead_letters(settings, 2)

    assert await noted(pool) == numbers(12)
    assert [letter.value for letter in letters] == [b"{", b"{"], "twice, of one origin"


async def test_the_largest_record_there_can_be_becomes_a_dead_letter(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    """With all that is said of it, it is larger than itself."""
    large = b"{" + secrets.token_bytes(MAX_MESSAGE_BYTES - 100)
    other = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, max_request_size=2 * MAX_MESSAGE_BYTES
    )
    async with other:
        await other.send_and_wait(physical(settings, topics.NOTES.name), large, b"1:1")
    await publisher.publish([a_note(2)])

    async with consuming(settings, pool, publisher):
        await until(has_noted(pool, 1))
        letter, *again = await dead_letters(settings, 1)

    assert letter.value == large
    assert all(each.value == large for each in again), "sent again where it was not acked in time"


@pytest.mark.parametrize("batch_records", [5, 1000])
async def test_too_much_poison_stops_the_line(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher, batch_records: int
) -> None:
    strict = settings.model_copy(update={"dead_letter_limit": 5, "batch_records": batch_records})
    poison = [Record(topics.NOTES.name, b"1:%d" % n, b"{") for n in range(100)]
    await publisher.publish(poison)

    async with consuming(strict, pool, publisher) as consumer:

        async def is_held() -> bool:
            try:
                await consumer.ping()
            except Unavailable as held:
                return "stopped: too many" in str(held)
            return False

        await until(is_held)

    assert await pool.fetchval("SELECT sum(next_offset) FROM consumer_offsets") == 5
    assert len(await dead_letters(settings, 5)) == 5


async def test_replays_that_are_poison_still_do_not_stop_the_line(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    strict = settings.model_copy(update={"dead_letter_limit": 5, "batch_records": 5})
    tried = [(ATTEMPTS, b"1")]
    replays = [Record(topics.NOTES.name, b"1:%d" % n, b"{", tried) for n in range(100)]
    await publisher.publish([*replays, a_note(0)])

    async with consuming(strict, pool, publisher) as consumer:

        async def all_are_read() -> bool:
            sql = "SELECT sum(next_offset) FROM consumer_offsets"
            return await pool.fetchval(sql) == len(replays) + 1

        await until(all_are_read)
        await consumer.ping()

    assert await noted(pool) == ["0"]


async def test_what_follows_the_commit_is_done_whether_it_came_about_or_not(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    ended: list[int] = []

    async def apply(conn: db.Connection, facts: Sequence[Received]) -> AfterCommit:
        await note_down(conn, facts)

        async def after(*, committed: bool) -> None:
            assert committed
            ended.append(len(await noted(pool)))

        return after

    await publisher.publish([a_note(n) for n in range(3)])
    async with consuming(settings, pool, publisher, apply):
        await until(has_noted(pool, 3))

    assert ended[-1] == 3, "the commit is visible to what follows it"


async def test_a_store_ahead_of_its_log_refuses_to_go_on(
    settings: StoreSettings, pool: db.Pool, publisher: Publisher
) -> None:
    await pool.execute(
        "INSERT INTO consumer_offsets SELECT $1, n, 99 FROM generate_series(0, 3) AS n",
        physical(settings, topics.NOTES.name),
    )
    await publisher.publish([a_note(0)])

    async with consuming(settings, pool, publisher) as consumer:
        broken = consumer._assignment

        async def is_told() -> bool:
            return "was Kafka emptied" in str(broken.broken)

        await until(is_told)

    assert await noted(pool) == []


async def empties_the_log(settings: StoreSettings) -> None:
    """As Kafka does by itself, where its log is not kept whole."""
    name = physical(settings, topics.NOTES.name)
    all_of_it = RecordsToDelete(before_offset=-1)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        partitions = range(settings.kafka_partitions)
        await admin.delete_records({TopicPartition(name, each): all_of_it for each in partitions})
    finally:
        await admin.close()


async def test_a_store_behind_an_emptied_log_stands_where_the_log_begins(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await publisher.publish([a_note(n) for n in range(40)])
    await empties_the_log(settings)

    async with consuming(settings, pool, publisher) as consumer:

        async def is_member() -> bool:
            return consumer._assignment.joined

        await until(is_member)
        assert await consumer._measure_lag() == 0
        assert await pool.fetchval("SELECT sum(next_offset) FROM consumer_offsets") == 40
        await publisher.publish([a_note(40)])
        await until(has_noted(pool, 1))

    lost = [vars(each)["records"] for each in caplog.records if each.message == "records_lost"]
    assert sum(lost) == 40


async def test_a_log_that_is_emptied_below_a_running_store_is_told_of_and_moved_on_in(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = settings.model_copy(update={"kafka_partitions": 1})
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def apply(conn: db.Connection, facts: Sequence[Received]) -> None:
        await note_down(conn, facts)
        began.set()
        await goes_on.wait()

    same_partition = b"1:0"
    notes = [a_note(n)._replace(key=same_partition) for n in range(3)]
    await publisher.publish(notes[:1])
    async with consuming(one, pool, publisher, apply):
        await began.wait()
        await publisher.publish(notes[1:2])
        await empties_the_log(settings)
        goes_on.set()
        await publisher.publish(notes[2:])
        await until(has_noted(pool, 2))

    assert await noted(pool) == ["0", "2"]
    assert [vars(r)["records"] for r in caplog.records if r.message == "records_lost"] == [1]


async def test_a_topic_that_is_made_anew_below_a_running_store_is_not_taken_for_read(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_consumer, "METADATA_MS", 500)
    name = physical(settings, topics.NOTES.name)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    await publisher.publish([a_note(n) for n in range(40)])
    async with consuming(settings, pool, publisher) as consumer:
        await until(has_noted(pool, 40))

        await admin.delete_topics([name])
        await until(lambda: _is_gone(admin, name))
        await ensure_topics(settings, [topics.NOTES])

        async def is_told() -> bool:
            try:
                return "was Kafka emptied" in (await consumer.ping() or "")
            except Unavailable as waits:
                return "was Kafka emptied" in str(waits)

        await until(is_told)
    await admin.close()


async def _is_gone(admin: AIOKafkaAdminClient, name: str) -> bool:
    return name not in await admin.list_topics()


async def test_a_store_is_rebuilt_from_what_an_emptied_log_still_has(
    settings: StoreSettings,
    pool: db.Pool,
    publisher: Publisher,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schemas, "fingerprint", lambda _: "of the test")
    plan = Plan(SCHEMA, database_url, settings, tmp_path, [topics.NOTES], note_down)
    chosen = Namespace(restart=False, drop_old=False, only_drop_old=False)
    async with consuming(settings, pool, publisher):
        await publisher.publish([a_note(n) for n in range(40)])
        await until(has_noted(pool, 40))
        await empties_the_log(settings)

        async with asyncio.timeout(60):
            await rebuild.run(plan, chosen)
        await publisher.publish([a_note(40)])
        await until(has_noted(pool, 1))

    assert await noted(pool) == ["40"]


def test_the_pool_turns_refusals_into_poison_and_outages_into_waits() -> None:
    with pytest.raises(Poison), db.errors():
        raise asyncpg.exceptions.DataError("invalid input")
    with pytest.raises(Poison), db.errors():
        raise asyncpg.exceptions.ProgramLimitExceededError("index row size exceeds the maximum")
    with pytest.raises(Poison), db.errors():
        raise asyncpg.exceptions.StatementTooComplexError("stack depth limit exceeded")
    with pytest.raises(Unavailable), db.errors():
        raise asyncpg.exceptions.DeadlockDetectedError("deadlock")
    with pytest.raises(KeyError), db.errors():
        raise KeyError
