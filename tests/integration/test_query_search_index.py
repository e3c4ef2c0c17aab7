"""An index is begun when it is worth it, and says the same however it came to be."""

import asyncio
import time
from random import Random
from typing import Any

import pytest

from services.query import batch, projection, projector
from services.query.contact import Key
from services.query.searching import bitmaps, indexer, queue_store
from services.query.searching.beginning import Beginnings
from services.query.searching.bitmaps import LOOSE, MOST_LOOSE
from services.query.searching.indexer import Indexer
from services.query.searching.lookup import MOST_PENDING
from services.query.searching.terms import Kind
from shared import db, ids, topics
from shared.errors import Unavailable
from shared.tenants import CustomFields
from tests.support import proxy
from tests.support.loops import running
from tests.support.proxy import Weather
from tests.support.query_facts import (
    COMPANY,
    SCHEMA,
    changed,
    deleted,
    person,
    project,
    read_model,
    score,
)
from tests.support.search_life import OWNER, assert_agrees, life, searched
from tests.support.waiting import until

AGAIN = """
INSERT INTO search_pending (company_id, owner_id, contact_id)
SELECT $1, $2, $3 FROM generate_series(1, $4::int)
"""


FORMS = "SELECT count(DISTINCT chunk = $1) FROM search_postings"
END_WHO_WAITS = """
SELECT bool_or(pg_terminate_backend(pid))
  FROM pg_locks
 WHERE locktype = 'advisory' AND NOT granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
ANNA = ids.contact(COMPANY, 3)


@pytest.mark.parametrize("persons", [40, 3 * MOST_LOOSE])
async def test_an_index_built_change_by_change_is_the_one_built_at_once(
    database_url: str, persons: int
):
    facts = life(Random(9), persons=persons, facts=15 * persons)  # noqa: S311  as above
    async with read_model(database_url) as pool:
        for start in range(0, len(facts), len(facts) // 10):
            await project(pool, facts[start : start + len(facts) // 10])
            await Indexer(pool, few=0).drain()
        grown = await _indexed(pool)
        await pool.execute("TRUNCATE search_users, search_slots, search_documents, search_words")
        await pool.execute("TRUNCATE search_postings, search_organizations, search_free_slots")
        await Indexer(pool, few=0).drain()

        assert await _indexed(pool) == grown
        forms = await pool.fetchval(FORMS, LOOSE)
        assert forms == (2 if persons > MOST_LOOSE else 1)


async def _indexed(pool: db.Pool) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """What has which term, by name instead of slot; and how many contacts have each word."""
    contacts = await pool.fetch("SELECT owner_id, slot, contact_id FROM search_slots")
    words = await pool.fetch("SELECT owner_id, slot, word FROM search_words WHERE contacts > 0")
    named = {
        False: {(r[0], r[1]): r[2] for r in contacts},
        True: {(r[0], r[1]): r[2] for r in words},
    }
    postings = set()
    for row in await pool.fetch("SELECT owner_id, word, kind, chunk, slots FROM search_postings"):
        of_words = row["kind"] in (Kind.LETTERS, Kind.LENGTH)
        for slot in bitmaps.slots(row["chunk"], row["slots"]):
            name = named[of_words].get((row["owner_id"], slot))
            postings.add((row["owner_id"], row["kind"], row["word"], name))
    counted = await pool.fetch(
        "SELECT owner_id, word, contacts FROM search_words WHERE contacts > 0"
    )
    # Words that nobody has any more stay known by their letters.
    return {each for each in postings if each[-1] is not None}, {tuple(r) for r in counted}


async def test_a_slot_is_used_again_and_knows_nothing_of_its_last_contact(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna{n}") for n in range(20)])
        await Indexer(pool, few=0).drain()
        await project(pool, [deleted(n, 2) for n in range(20)])
        await Indexer(pool, few=0).drain()
        await project(pool, [person(n, name="Bert") for n in range(100, 120)])
        await Indexer(pool, few=0).drain()

        assert await pool.fetchval("SELECT next_slot FROM search_users") == 20
        assert (await searched(pool, OWNER, "anna"))["pagination"]["total"] == 0
        assert (await searched(pool, OWNER, "bert"))["pagination"]["total"] == 20


async def test_however_many_are_queued_again_and_again_each_has_a_turn(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(indexer, "MOST_USERS", 2)
    owners = range(1001, 1006)
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name="Anna", owner_id=n) for n in owners])
        await Indexer(pool, few=0).drain()
        one = Indexer(pool, few=0)
        served: set[int] = set()
        for _ in range(3):
            for n in owners:
                await pool.execute(AGAIN, COMPANY, n, ids.contact(COMPANY, n), 1)

            await one._batches()

            waiting = {row[0] for row in await pool.fetch("SELECT owner_id FROM search_pending")}
            served |= set(owners) - waiting
    assert served == set(owners)


async def test_one_contact_queued_again_and_again_hides_no_other_unsaid(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(30)])
        await Indexer(pool, few=0).drain()
        await project(pool, [changed(topics.PERSONS, 3, 2, data={"name": "Zora"})])
        await pool.execute(AGAIN, COMPANY, OWNER.user_id, ids.contact(COMPANY, 4), MOST_PENDING)

        found = await searched(pool, OWNER, "zora")

        assert not found["pagination"]["totalIsExact"]
        await Indexer(pool, few=0).drain()
        await assert_agrees(pool, OWNER, "zora")


async def test_a_contact_stays_queued_until_its_place_is_right(database_url: str):
    """The indexer gave it a slot as it was moved; then the process that was to mend that died."""
    me = [Key(COMPANY, 3)]
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(10)])
        await Indexer(pool, few=0).drain()
        await pool.execute("UPDATE search_slots SET score = 9 WHERE contact_id = $1", ANNA)
        await pool.execute(AGAIN, COMPANY, OWNER.user_id, ANNA, 1)
        async with pool.acquire() as conn, conn.transaction():
            await projection.lock_persons(conn, me)
            at_work = asyncio.create_task(Indexer(pool, few=0).round())

            async def is_ended() -> bool:
                return bool(await pool.fetchval(END_WHO_WAITS))

            await until(is_ended)
            with pytest.raises(Unavailable):
                await at_work
            found = await searched(pool, OWNER, "anna", warmness="7-10")
            assert found["pagination"]["total"] == 0

        await Indexer(pool, few=0).drain()

        held = await pool.fetchval("SELECT score FROM search_slots WHERE contact_id = $1", ANNA)
        assert held == 0
        await assert_agrees(pool, OWNER, "anna")
        assert await pool.fetchval("SELECT count(*) FROM search_pending") == 0


async def test_a_user_gets_an_index_when_the_contacts_become_many(database_url: str):
    async with read_model(database_url) as pool:
        indexer = Indexer(pool, few=20)
        await project(pool, [person(n, name=f"Anna {n}") for n in range(20)])
        await indexer.drain()
        assert await pool.fetchval("SELECT count(*) FROM search_users") == 0
        assert (await searched(pool, OWNER, "anna"))["pagination"]["total"] == 20

        await project(pool, [person(20, name="Anna 20")])
        await indexer.drain()

        assert await pool.fetchval("SELECT count(*) FROM search_slots") == 21
        assert (await searched(pool, OWNER, "anna"))["pagination"]["total"] == 21
        assert await pool.fetchval("SELECT count(*) FROM search_pending") == 0


async def test_nothing_is_queued_for_who_has_no_index(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, life(Random(5), persons=30, facts=300))  # noqa: S311  as above

        assert await pool.fetchval("SELECT count(*) FROM search_pending") == 0
        await assert_agrees(pool, OWNER, "anna")


def _no_fields(_: int) -> CustomFields:
    return CustomFields()


async def test_an_index_begins_only_when_everyone_queues_for_it(database_url: str):
    """A batch that was being applied as the user was announced may not have queued anything."""
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(10)])
        indexer = Indexer(pool, few=5)
        late = batch.sort([changed(topics.PERSONS, 3, 2, data={"name": "Berta"})], _no_fields)
        async with pool.acquire() as conn, conn.transaction():
            await projector.project(conn, late)
            await indexer.round()
            assert await indexer.round()
            assert await pool.fetchval("SELECT count(*) FROM search_users WHERE is_built") == 0
        await project(pool, [person(10, name="Berta 10"), score(4, 9)])
        await assert_agrees(pool, OWNER, "berta")

        await indexer.drain()

        assert await pool.fetchval("SELECT count(*) FROM search_slots") == 11
        assert await pool.fetchval("SELECT count(*) FROM search_pending") == 0
        for text in ("anna", "berta"):
            await assert_agrees(pool, OWNER, text)


async def test_an_index_that_was_not_finished_is_begun_again(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(10)])
        beginnings = Beginnings(few=5)
        asked: list[bool] = []

        def is_stopped() -> bool:
            asked.append(True)
            return True

        async with pool.acquire() as conn:
            await beginnings.announce(conn, at_once=True)

            async def is_tried() -> bool:
                assert await beginnings.begin(conn, rest=0, is_stopped=is_stopped)
                return bool(asked)

            await until(is_tried, 60)
        assert await pool.fetchval("SELECT count(*) FROM search_slots") == 0
        await assert_agrees(pool, OWNER, "anna")

        await Indexer(pool, few=5).drain()

        assert await pool.fetchval("SELECT count(*) FROM search_slots") == 10
        await assert_agrees(pool, OWNER, "anna")


async def test_the_loop_begins_indexes_and_keeps_them(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(10)])
        stop = asyncio.Event()

        async def is_built() -> bool:
            return bool(
                await pool.fetchval("SELECT count(*) = 1 FROM search_users WHERE is_built")
            )

        async def is_worked_off() -> bool:
            return bool(await pool.fetchval("SELECT count(*) = 0 FROM search_pending"))

        async with asyncio.TaskGroup() as group:
            group.create_task(Indexer(pool, few=5, look_every_s=0.05).run(stop))
            await until(is_built, 60)
            await project(pool, [person(n, 2, name=f"Berta {n}") for n in range(5)])
            await until(is_worked_off, 60)
            stop.set()

        for text in ("anna", "berta"):
            await assert_agrees(pool, OWNER, text)


async def test_two_indexers_share_the_work(database_url: str):
    async with read_model(database_url) as pool:
        await project(pool, [person(n, name=f"Anna {n}") for n in range(200)])
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(Indexer(pool, batch=30, few=0).drain())
        await Indexer(pool, few=0).drain()

        assert await pool.fetchval("SELECT count(*) FROM search_slots") == 200
        await assert_agrees(pool, OWNER, "anna")


async def test_an_index_that_is_built_beside_the_live_one_holds_it_up_not(database_url: str):
    async with (
        read_model(database_url) as pool,
        db.pool(database_url, "beside", size=1) as built,
    ):
        await pool.execute("CREATE SCHEMA beside")
        async with (
            built.acquire() as building,
            building.transaction(),
            pool.acquire() as live,
            live.transaction(),
            pool.acquire() as other,
            other.transaction(),
        ):
            assert await queue_store.take(building, OWNER)
            assert await queue_store.take(live, OWNER)
            assert not await queue_store.take(other, OWNER)


async def test_after_a_silent_postgres_it_does_not_rest_as_long_as_it_waited(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_told(message: str) -> bool:
        told = [each for each in caplog.records if each.message == message]
        return any(vars(each)["loop"] == "indexer" for each in told)

    async with (
        read_model(database_url),
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), SCHEMA, size=2, answer_s=3.0) as pool,
        running(Indexer(pool).run),
    ):
        await until(lambda: _is_connected(pool))
        began = time.monotonic()
        await link.turn(Weather.HALF_OPEN)
        await until(lambda: is_told("outage_began"))
        silent_s = time.monotonic() - began
        await link.turn(Weather.FAIR)
        await until(lambda: is_told("outage_ended"))
        rest_s = time.monotonic() - began - silent_s

    assert rest_s < silent_s / 2


async def _is_connected(pool: db.Pool) -> bool:
    return pool.get_size() > 0
