"""A cached page is never served once a newer one could be read, on a real Redis and Postgres.

Readers and projectors here are each their own connection and marker, as processes would be.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from services.query import cache, projection, reading, stats, wire
from services.query.batch import User
from services.query.cache import SEPARATOR, Cache, Origin, ReadPage, Served
from services.query.generation import READ, WAIT, Keys, Part, View
from services.query.invalidation import Invalidation
from services.query.live.store import UNMARKED
from services.query.projector import Projector
from services.query.reading import Read
from services.query.request import ListQuery, OrganizationsQuery
from services.query.wire import Wire
from shared import db
from shared.errors import Unavailable
from shared.kafka.consumer import Received
from shared.tenants import Tenants
from tests.support import proxy
from tests.support import query_facts as facts
from tests.support.counts import calls, have_called, metric
from tests.support.infra import Infra, on_database
from tests.support.proxy import Weather
from tests.support.query_facts import COMPANY, NO_TENANTS, data_of, read_model
from tests.support.waiting import until

pytestmark = pytest.mark.integration

ME = User(COMPANY, 7)
ASKED = ListQuery().request()
ORGANIZATIONS = OrganizationsQuery().request()
NUMBERS = stats.asked_now()
AWAY = "redis://127.0.0.1:1/0"
AGES = "my500_projection_age_seconds_count"

Between = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reader:
    cache: Cache
    pool: db.Pool

    async def overview(self, user: User = ME) -> tuple[bytes, bytes, bool]:
        """The user's organizations and numbers, and whether both came from the cache."""

        async def organizations() -> Read:
            async with reading.snapshot(self.pool) as conn:
                return await reading.organizations(conn, user, ORGANIZATIONS)

        async def numbers() -> Read:
            async with reading.snapshot(self.pool) as conn:
                return await stats.stats(conn, user, NUMBERS)

        part = Part(user, View.OVERVIEW)
        first = await self.cache.page(part, ORGANIZATIONS.name, organizations)
        second = await self.cache.page(part, NUMBERS.name, numbers)
        return first.body, second.body, {first.origin, second.origin} == {Origin.CACHE}

    async def page(self, user: User, read: ReadPage | None = None) -> Served:
        async def read_now() -> Read:
            async with reading.snapshot(self.pool) as conn:
                return await reading.my_500(conn, user, ASKED)

        return await self.cache.page(Part(user, View.CONTACTS), ASKED.name, read or read_now)

    async def names(self, user: User = ME, between: Between | None = None) -> tuple[Any, Origin]:
        """The names on the user's page. `between` runs once Postgres has been read."""

        async def read() -> Read:
            async with reading.snapshot(self.pool) as conn:
                found = await reading.my_500(conn, user, ASKED)
            if between is not None:
                await between()
            return found

        served = await self.page(user, read)
        return [each["name"] for each in data_of(served)["contacts"]], served.origin


@dataclass(frozen=True, slots=True)
class Writer:
    projector: Projector
    invalidation: Invalidation
    pool: db.Pool

    async def apply(self, *told: Received, before_commit: Between | None = None) -> None:
        """As the consumer does it."""
        async with self.pool.acquire() as conn, conn.transaction():
            after = await self.projector.apply(conn, told)
            if before_commit is not None:
                await before_commit()
        await after(committed=True)

    async def crash_after_commit(self, *told: Received) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            await self.projector.apply(conn, told)

    async def crash_before_commit(self, *told: Received) -> None:
        async with self.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await self.projector.apply(conn, told)
            await transaction.rollback()


@dataclass(frozen=True, slots=True)
class Place:
    pool: db.Pool
    keys: Keys
    redis_url: str

    @asynccontextmanager
    async def reader(self, url: str | None = None) -> AsyncIterator[Reader]:
        async with Wire(url or self.redis_url) as wire:
            yield Reader(Cache(wire, self.keys), self.pool)

    @asynccontextmanager
    async def writer(self, url: str | None = None) -> AsyncIterator[Writer]:
        async with Wire(url or self.redis_url) as wire:
            invalidation = Invalidation(wire, self.keys, self.pool)
            yield Writer(Projector(Tenants(NO_TENANTS), invalidation), invalidation, self.pool)

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[tuple[Writer, Reader, Reader, Redis]]:
        """A writer, two readers, and their Redis."""
        async with (
            self.writer() as writer,
            self.reader() as one,
            self.reader() as other,
            Redis.from_url(self.redis_url) as client,
        ):
            yield writer, one, other, client


@pytest.fixture
async def place(database_url: str, redis_url: str) -> AsyncIterator[Place]:
    async with read_model(database_url) as pool:
        yield Place(pool, Keys(await projection.store_id(pool)), redis_url)


def named(name: str, version: int, number: int = 1) -> Received:
    return facts.person(number, version, name=name)


async def test_a_page_is_read_once_and_served_from_the_cache_by_every_process(
    place: Place,
) -> None:
    async with place.writer() as writer, place.reader() as one, place.reader() as other:
        await writer.apply(named("Ada", 1))

        seen = [await one.names(), await one.names(), await other.names(), await other.names()]

    assert seen == [
        (["Ada"], Origin.STORE),
        (["Ada"], Origin.CACHE),
        (["Ada"], Origin.CACHE),
        (["Ada"], Origin.CACHE),
    ]


async def test_a_change_is_seen_by_the_next_request_of_every_process(place: Place) -> None:
    async with place.writer() as writer, place.reader() as one, place.reader() as other:
        for version in range(1, 6):
            await writer.apply(named(f"Version {version}", version))
            assert (await one.names())[0] == [f"Version {version}"]
            assert (await other.names())[0] == [f"Version {version}"]


async def test_those_who_are_not_affected_keep_their_pages(place: Place) -> None:
    other = User(COMPANY, 8)
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("Ada", 1))
        await reader.names(other)
        await reader.names(ME)

        await writer.apply(named("Ada L.", 2))
        await writer.apply(named("Ada L.", 2))

        assert await reader.names(other) == ([], Origin.CACHE)
        assert await reader.names(ME) == (["Ada L."], Origin.STORE)
        await writer.apply(named("Ada L.", 2))
        assert await reader.names(ME) == (["Ada L."], Origin.CACHE)


async def test_what_was_read_before_a_commit_and_kept_after_it_is_never_served(
    place: Place,
) -> None:
    async with place.writer() as writer, place.reader() as slow, place.reader() as other:
        await writer.apply(named("old", 1))

        async def change() -> None:
            await writer.apply(named("new", 2))

        old, _ = await slow.names(between=change)

        assert old == ["old"]
        assert await other.names() == (["new"], Origin.STORE)
        assert (await slow.names())[0] == ["new"]


async def test_between_mark_and_commit_nothing_is_served_from_the_cache_or_kept(
    place: Place,
) -> None:
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("old", 1))
        await reader.names()
        seen = []

        async def look() -> None:
            seen.extend([await reader.names(), await reader.names()])

        await writer.apply(named("new", 2), before_commit=look)

        assert seen == [(["old"], Origin.STORE_DIRTY)] * 2
        assert await reader.names() == (["new"], Origin.STORE)


async def test_a_projector_that_dies_after_its_commit_leaves_no_stale_page(place: Place) -> None:
    async with place.reader() as reader, place.writer() as next_one:
        await next_one.apply(named("old", 1))
        await reader.names()
        async with place.writer() as writer:
            await writer.apply(named("other", 1, number=2))
            await reader.names()
            await writer.crash_after_commit(named("new", 2))

        assert await reader.names() == (["new", "other"], Origin.STORE_DIRTY)
        await next_one.apply(named("newer", 3))
        assert await reader.names() == (["newer", "other"], Origin.STORE_DIRTY)


async def test_a_transaction_that_is_undone_frees_its_users(place: Place) -> None:
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("old", 1))
        await writer.crash_before_commit(named("new", 2))
        assert (await reader.names())[1] is Origin.STORE_DIRTY

        await writer.invalidation.settle()

        assert await reader.names() == (["old"], Origin.STORE)
        assert await reader.names() == (["old"], Origin.CACHE)


async def test_the_age_of_what_was_not_committed_counts_once_it_is(place: Place) -> None:
    async with place.writer() as writer:
        before = metric(AGES)
        async with place.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            after = await writer.projector.apply(conn, [named("Ada", 1)])
            await transaction.rollback()
        await after(committed=False)
        undone = metric(AGES)

        await writer.apply(named("Ada", 1))

    assert (undone - before, metric(AGES) - undone) == (0, 1)


async def test_a_last_statement_that_fails_frees_its_users_once_all_has_ended(
    place: Place,
) -> None:
    async def fails() -> str:
        raise Unavailable("Postgres")

    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("old", 1))
        with pytest.raises(Unavailable):
            await writer.invalidation.mark([Part(ME, View.CONTACTS)], fails)
        assert (await reader.names())[1] is Origin.STORE_DIRTY

        await writer.invalidation.settle()

        assert await reader.names() == (["old"], Origin.STORE)


async def test_nobody_frees_users_whose_transaction_has_yet_to_tell_its_number(
    place: Place,
) -> None:
    async with (
        place.writer() as writer,
        place.reader() as reader,
        place.pool.acquire() as conn,
    ):
        await writer.apply(named("old", 1))
        invalidation, settling = writer.invalidation, list[asyncio.Task[None]]()

        async def last() -> str:
            settling.append(asyncio.create_task(invalidation.settle()))
            await until(is_dirty)
            number: str = await conn.fetchval("SELECT pg_current_xact_id()::text")
            return number

        async def is_dirty() -> bool:
            return (await reader.names())[1] is Origin.STORE_DIRTY

        async with conn.transaction():
            number = await invalidation.mark([Part(ME, View.CONTACTS)], last)
            await settling[0]
            assert await is_dirty()
        await invalidation.settle(number)

        assert await reader.names() == (["old"], Origin.STORE)


async def test_users_stay_marked_while_a_transactions_end_is_unknown(place: Place) -> None:
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("old", 1))

        async def lose_sight() -> None:
            await writer.invalidation.settle()
            assert (await reader.names())[1] is Origin.STORE_DIRTY

        await writer.apply(named("new", 2), before_commit=lose_sight)

        assert await reader.names() == (["new"], Origin.STORE)


async def test_a_transaction_whose_number_a_crash_took_back_has_ended(place: Place) -> None:
    async with place.pool.acquire() as conn:
        newest = await conn.fetchval("SELECT pg_current_xact_id()::text::bigint")
        async with place.pool.acquire() as other, other.transaction():
            open_one = await other.fetchval("SELECT pg_current_xact_id()::text")
            asked = [str(newest), str(newest + 1_000_000), open_one]

            ended = await projection.settled(conn, asked)

    assert ended == {str(newest), str(newest + 1_000_000)}


async def test_of_two_projectors_the_last_to_end_frees_the_user(place: Place) -> None:
    async with place.writer() as one, place.writer() as two, place.reader() as reader:
        await one.apply(named("a", 1))
        await two.apply(named("b", 1, number=2))
        await reader.names()
        seen = []

        async def other_ends_first() -> None:
            await two.apply(named("b2", 2, number=2))
            seen.append(await reader.names())

        # Their contacts differ; the user's counters, which one would hold, do not move.
        await one.apply(named("a2", 2), before_commit=other_ends_first)
        seen.append(await reader.names())

    assert sorted(seen[0][0]) == ["a", "b2"]
    assert seen[0][1] is Origin.STORE_DIRTY
    assert sorted(seen[1][0]) == ["a2", "b2"]
    assert seen[1][1] is Origin.STORE


async def test_a_status_ends_no_page_and_what_pages_told_of_it_is_over(place: Place) -> None:
    abroad = User(COMPANY + 1, 7)
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("Ada", 1))
        users = (ME, User(COMPANY, 8), abroad)
        for user in users:
            await reader.names(user)

        async def told(*expected: bool) -> None:
            for user, is_told in zip(users, expected, strict=True):
                served = await reader.page(user)
                assert (served.origin, served.is_told) == (Origin.CACHE, is_told)

        async def while_it_is_written() -> None:
            await told(False, False, True)
            assert (await reader.page(ME)).status_tag is None

        await told(True, True, True)
        await writer.apply(facts.status(1, "running"), before_commit=while_it_is_written)
        await told(False, False, True)
        assert (await reader.page(ME)).status_tag is not None


async def test_a_page_read_while_a_status_is_written_may_tell_the_old_one(place: Place) -> None:
    async with place.writer() as writer, place.reader() as reader, place.reader() as other:
        await writer.apply(named("Ada", 1))

        async def read_it() -> None:
            assert (await reader.page(ME)).origin is Origin.STORE

        await writer.apply(facts.status(1, "running"), before_commit=read_it)

        for each in (reader, other):
            served = await each.page(ME)
            assert (served.origin, served.is_told) == (Origin.CACHE, False)


async def test_nor_does_it_tell_what_is_so_once_redis_has_forgotten_the_company(
    place: Place,
) -> None:
    async with place.shared() as (writer, reader, _, client):
        await writer.apply(named("Ada", 1))

        async def read_it() -> None:
            await reader.page(ME)

        await writer.apply(facts.status(1, "running"), before_commit=read_it)
        await client.delete(place.keys.generation(Part(User(COMPANY, None))))

        served = await reader.page(ME)

    assert (served.origin, served.is_told) == (Origin.CACHE, False)


async def test_two_companies_with_the_same_user_id_share_no_page(place: Place) -> None:
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("mine", 1), facts.person(1, company=COMPANY + 1, name="theirs"))

        for _ in range(2):
            assert (await reader.names(ME))[0] == ["mine"]
            assert (await reader.names(User(COMPANY + 1, 7)))[0] == ["theirs"]


async def test_pages_come_from_postgres_while_redis_is_away(place: Place) -> None:
    async with place.writer() as writer, place.reader(AWAY) as reader:
        await writer.apply(named("Ada", 1))

        assert await reader.names() == (["Ada"], Origin.STORE_CACHE_AWAY)


async def test_a_process_that_is_busy_for_a_moment_gives_up_no_redis_that_answers(
    place: Place,
) -> None:
    async with place.reader() as reader, place.writer() as writer:
        await writer.apply(named("Ada", 1))
        await reader.names()

        asking = asyncio.create_task(reader.names())
        asyncio.get_running_loop().call_soon(_work, 2 * wire.DEADLINE_S)

        assert await asking == (["Ada"], Origin.CACHE)


async def test_a_process_that_is_busy_all_the_time_reaches_redis_all_the_same(
    place: Place,
) -> None:
    async with place.reader() as reader, place.writer() as writer:
        await writer.apply(named("Ada", 1))

        async def is_hit() -> bool:
            _, origin = await reader.names()
            return origin is Origin.CACHE

        with _busy(wire.DEADLINE_S / 4):
            await until(is_hit)


def _work(seconds: float) -> None:
    """As if hundreds of requests had come at once."""
    done_at = time.monotonic() + seconds
    while time.monotonic() < done_at:
        pass


@contextmanager
def _busy(turn_s: float) -> Iterator[None]:
    """Each turn of the event loop takes so long."""
    loop = asyncio.get_running_loop()

    def turn() -> None:
        nonlocal following
        _work(turn_s)
        following = loop.call_soon(turn)

    following = loop.call_soon(turn)
    try:
        yield
    finally:
        following.cancel()


async def test_a_change_that_redis_was_not_told_of_empties_the_cache_later(place: Place) -> None:
    async with place.reader() as reader, place.writer() as writer:
        await writer.apply(named("old", 1))
        await reader.names()
        cut = writer.invalidation._wire
        writer.invalidation._wire = Wire(AWAY)
        await writer.apply(named("new", 2))
        during = await reader.names()

        writer.invalidation._wire = cut
        stop = asyncio.Event()
        healing = asyncio.create_task(writer.invalidation.run(stop))

        async def is_new() -> bool:
            names, _ = await reader.names()
            return bool(names == ["new"])

        await until(is_new)
        stop.set()
        await healing

    assert during == (["old"], Origin.CACHE)


async def test_a_writer_that_died_before_redis_was_told_leaves_no_stale_page(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "DOUBT_S", 0.05)
    async with place.reader() as reader, place.writer() as writer, place.writer(AWAY) as dying:
        await writer.apply(named("old", 1))
        await reader.names()
        assert await reader.names() == (["old"], Origin.CACHE)
        reader.cache.hear(UNMARKED)  # as Postgres tells it
        await dying.crash_after_commit(named("new", 2))

        async def is_believed() -> bool:
            _, origin = await reader.names()
            return origin is Origin.CACHE

        await until(is_believed)

        assert await reader.names() == (["new"], Origin.CACHE)


async def test_a_commit_waits_for_a_redis_that_was_silent_for_a_moment(place: Place) -> None:
    async with (
        proxy.before(place.redis_url) as link,
        place.writer(proxy.through(place.redis_url, link)) as writer,
        place.reader() as reader,
    ):
        await writer.apply(named("old", 1))
        await reader.names()
        await link.turn(Weather.HALF_OPEN)
        errors = _errors()
        applying = asyncio.create_task(writer.apply(named("new", 2)))

        async def is_missed() -> bool:
            return _errors() > errors

        await until(is_missed)
        await link.turn(Weather.FAIR)
        await applying

        assert await reader.names() == (["new"], Origin.STORE)


def _errors() -> float:
    return metric("my500_query_cache_errors_total", call="mark")


async def test_a_change_that_redis_was_not_told_of_is_seen_though_another_never_ends(
    place: Place,
) -> None:
    async with place.reader() as reader, place.writer() as writer, place.pool.acquire() as conn:
        await writer.apply(named("old", 1))
        await reader.names()
        endless = conn.transaction()
        await endless.start()
        await writer.projector.apply(conn, [facts.person(2, 1, owner_id=8)])
        cut = writer.invalidation._wire
        writer.invalidation._wire = Wire(AWAY)
        await writer.apply(named("new", 2))

        writer.invalidation._wire = cut
        stop = asyncio.Event()
        healing = asyncio.create_task(writer.invalidation.run(stop))

        async def is_new() -> bool:
            return (await reader.names())[0] == ["new"]

        await until(is_new)
        await endless.rollback()

        async def is_kept() -> bool:
            return (await reader.names())[1] is Origin.CACHE

        await until(is_kept)
        stop.set()
        await healing


async def test_a_redis_that_started_again_with_older_keys_is_not_believed(
    killable: Infra, database_url: str
) -> None:
    url = on_database(killable.redis, "0")
    async with read_model(database_url) as pool:
        place = Place(pool, Keys(await projection.store_id(pool)), url)
        async with place.writer() as writer, place.reader() as reader:
            await writer.apply(named("old", 1))
            await reader.names()
            assert await reader.names() == (["old"], Origin.CACHE)
            kept = await dumped(url)
            await writer.apply(named("new", 2))

            await asyncio.to_thread(killable.kill, "valkey")
            away = (await reader.names())[0]
            await asyncio.to_thread(killable.start, "valkey")
            await restored(url, kept)

            async def asks_again() -> bool:
                names, origin = await reader.names()
                assert names == ["new"]
                return origin in (Origin.STORE, Origin.CACHE)

            await until(asks_again)
    assert away == ["new"]


async def test_a_redis_that_was_replaced_for_a_while_is_not_believed(
    killable: Infra, database_url: str
) -> None:
    url = on_database(killable.redis, "0")
    async with read_model(database_url) as pool, Redis.from_url(url) as client:
        place = Place(pool, Keys(await projection.store_id(pool)), url)
        async with place.writer() as writer, place.reader() as before:
            await writer.apply(named("old", 1))
            await before.names()
        async with place.reader() as beside:
            beside_it = await beside.names()

        await client.replicaof("127.0.0.1", "1")
        await client.replicaof("NO", "ONE")  # type: ignore[arg-type]  # typed as a port

        async with place.reader() as after:
            after_it = await after.names()

    assert beside_it == (["old"], Origin.CACHE)
    assert after_it == (["old"], Origin.STORE)


async def dumped(url: str) -> Sequence[tuple[bytes, bytes]]:
    async with Redis.from_url(url) as client:
        kept = [(key, await client.dump(key)) async for key in client.scan_iter()]
    return [(key, value) for key, value in kept if value is not None]


async def restored(url: str, kept: Sequence[tuple[bytes, bytes]]) -> None:
    async with Redis.from_url(url) as client:
        for key, value in kept:
            await client.restore(key, 0, value, replace=True)


async def test_one_of_many_who_miss_the_same_page_reads_it_in_whatever_process(
    place: Place,
) -> None:
    reads: list[Reader] = []
    waits = asyncio.Event()

    async def ask(reader: Reader) -> tuple[Any, Origin]:
        async def between() -> None:
            reads.append(reader)
            await waits.wait()

        return await reader.names(between=between)

    async def is_reading() -> bool:
        return len(reads) == 1

    async with place.shared() as (writer, one, other, client):
        await writer.apply(named("Ada", 1))
        await one.names(User(COMPANY, 8))  # the company's generation is there
        async with asyncio.TaskGroup() as group:
            first = [group.create_task(ask(one)) for _ in range(20)]
            await until(is_reading)
            looks = await calls(client, "eval")
            second = [group.create_task(ask(other)) for _ in range(20)]
            await until(lambda: have_called(client, "eval", looks + 2))
            waits.set()

    assert reads == [one]
    assert {task.result()[1] for task in first} == {Origin.STORE}
    assert {task.result()[1] for task in second} == {Origin.CACHE}
    assert [task.result()[0] for task in first + second] == [["Ada"]] * 40


async def test_a_page_whose_reader_died_is_read_by_another_soon(place: Place) -> None:
    async with place.shared() as (writer, one, other, client):
        await writer.apply(named("Ada", 1))
        await one.names()
        page = place.keys.page(ME, ASKED.name)
        tag = (await client.get(page)).split(SEPARATOR)[0]
        await client.delete(page)
        answer = await client.execute_command(*place.keys.claiming(ME, ASKED.name, tag, SEPARATOR))
        again = await client.execute_command(*place.keys.claiming(ME, ASKED.name, tag, SEPARATOR))

        async with asyncio.timeout(30):
            assert await other.names() == (["Ada"], Origin.STORE)

    assert (answer, again) == (READ, WAIT)


async def test_a_page_that_was_taken_over_ends_where_it_was_to_end(place: Place) -> None:
    async with place.shared() as (writer, one, other, client):
        await writer.apply(named("Ada", 1))
        await one.names()
        await client.pexpire(place.keys.page(ME, ASKED.name), 2_000)

        assert await other.names() == (["Ada"], Origin.CACHE)

        async def is_over() -> bool:
            return (await other.names())[1] is Origin.STORE

        await until(is_over)


async def test_who_fails_to_read_a_page_leaves_it_to_others_at_once(place: Place) -> None:
    async def fail() -> None:
        raise Unavailable("as if Postgres were away")

    async with place.shared() as (writer, one, other, client):
        await writer.apply(named("Ada", 1))
        with pytest.raises(Unavailable):
            await one.names(between=fail)

        assert await client.keys("*:r:*") == []
        assert await other.names() == (["Ada"], Origin.STORE)


async def test_a_page_that_is_not_kept_is_read_by_many_at_once(place: Place) -> None:
    together = asyncio.Barrier(2)

    async def alone() -> Read:
        return Read(b"{}", lasts=False)

    async def beside_another() -> Read:
        await together.wait()
        return Read(b"{}", lasts=False)

    part = Part(ME, View.CONTACTS)
    async with place.reader() as one, place.reader() as other:
        await one.cache.page(part, "some", alone)

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for reader in (one, other):
                group.create_task(reader.cache.page(part, "some", beside_another))

    assert together.n_waiting == 0


async def test_a_new_name_leaves_organizations_and_numbers_in_the_cache_and_a_new_score_does_not(
    place: Place,
) -> None:
    async with place.writer() as writer, place.reader() as reader:
        await writer.apply(named("Ada", 1))
        await reader.overview()

        await writer.apply(named("Beth", 2))
        assert (await reader.overview())[2]
        assert await reader.names() == (["Beth"], Origin.STORE)

        await writer.apply(facts.score(1, 5, 1))
        assert not (await reader.overview())[2]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_told_organizations_and_numbers_are_those_of_the_store(
    place: Place, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  repeatable, not secret
    kept = 0
    async with place.writer() as writer, place.reader() as reader, place.reader(AWAY) as other:
        for fact in facts.history(random, persons=8, facts=150):
            await writer.apply(fact)
            for user in (ME, User(COMPANY, 8)):
                *found, is_kept = await reader.overview(user)
                *held, _ = await other.overview(user)
                assert found == held, fact
                kept += is_kept

    assert kept > 50


async def test_readers_beside_writers_never_see_the_past(place: Place) -> None:
    """Two projectors, four readers: what a request answers is at least what was committed when
    it began.
    """
    committed = {1: 0, 2: 0}
    done = asyncio.Event()

    async def write(number: int) -> None:
        async with place.writer() as writer:
            for version in range(1, 80):
                await writer.apply(facts.person(number, version, name=str(version)))
                committed[number] = version

    async def look() -> int:
        hits = 0
        async with place.reader() as reader:
            while not done.is_set():
                floor = dict(committed)
                served = await reader.names()
                hits += served[1] is Origin.CACHE
                assert sum(map(int, served[0])) >= sum(floor.values())
                await asyncio.sleep(0)
        return hits

    async with asyncio.TaskGroup() as group:
        looking = [group.create_task(look()) for _ in range(4)]
        async with asyncio.TaskGroup() as writing:
            for number in committed:
                writing.create_task(write(number))
        done.set()

    assert sum(task.result() for task in looking) > 0
