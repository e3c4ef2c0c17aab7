"""The sampler would find a stale page; and statements that take long are told with their plan."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncpg.connection import LoggedQuery
from redis.asyncio import Redis

from services.query.batch import User
from services.query.cache import SEPARATOR
from services.query.limits import Gate
from services.query.sampler import Sample, Sampler
from services.query.slow import SlowStatements
from shared import db
from shared.observability import STALE_PAGES
from tests.support import query_door
from tests.support import query_facts as facts
from tests.support.counts import metric
from tests.support.query_door import Door
from tests.support.query_facts import COMPANY, data_of, read_model
from tests.support.waiting import until

pytestmark = pytest.mark.integration

ME = User(COMPANY, 7)
LIST = "/api/my-500"


@pytest.fixture
async def door(database_url: str, redis_url: str) -> AsyncIterator[Door]:
    async with query_door.opened(database_url, redis_url) as door:
        yield door


def sampler(door: Door, per_second: float = 100) -> Sampler:
    return Sampler(door.parts.samples, door.cache, door.pool, door.parts.limits.gate, per_second)


async def sample(door: Door, path: str = LIST) -> Sample:
    """Of the page as it is served from the cache now."""
    await door.get(path)
    door.parts.samples.take()
    await door.get(path)
    taken = door.parts.samples.take()
    assert taken is not None
    return taken


@pytest.mark.parametrize("path", [LIST, "/api/organizations", "/api/stats", f"{LIST}?limit=1"])
async def test_a_page_as_postgres_has_it_is_fresh(door: Door, path: str) -> None:
    await door.told(facts.person(1), facts.link(1, 1), facts.organization(1))

    assert await sampler(door).check(await sample(door, path)) == "fresh"


async def test_a_stale_page_in_redis_is_found_and_told(
    door: Door, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted as no fault of ours could: under the generations in force, with another content."""
    await door.told(facts.person(1, name="Ada"))
    await door.get(LIST)
    async with Redis.from_url(redis_url) as client:
        (key,) = [key async for key in client.scan_iter("*:p:*")]
        tag, etag, body = (await client.get(key)).split(SEPARATOR, 2)
        wrong = body.replace(b'"Ada"', b'"Eva"')
        await client.set(key, SEPARATOR.join((tag, etag, wrong)), keepttl=True)
    door.cache._memory._pages.clear()  # as in a process that has not met the page yet
    before = STALE_PAGES.labels(LIST)._value.get()

    found = await sample(door)
    outcome = await sampler(door).check(found)

    assert data_of(found.served)["contacts"][0]["name"] == "Eva"
    assert outcome == "stale"
    assert STALE_PAGES.labels(LIST)._value.get() == before + 1
    (stale,) = [record for record in caplog.records if record.message == "stale_page"]
    assert stale.__dict__["route"] == LIST
    assert 0 <= stale.__dict__["age_s"] < 60


async def test_a_page_that_changed_since_it_was_served_says_nothing(door: Door) -> None:
    await door.told(facts.person(1, 1))
    taken = await sample(door)
    await door.told(facts.person(1, 2, name="Renamed"))

    assert await sampler(door).check(taken) == "changed"


async def test_a_page_that_changes_while_it_is_looked_at_says_nothing(door: Door) -> None:
    await door.told(facts.person(1, 1))
    taken = await sample(door)

    async def read(conn: db.Connection) -> object:
        found = await taken.read(conn)
        await door.told(facts.person(1, 2, name="Renamed"))
        return found

    assert await sampler(door).check(taken._replace(read=read)) == "changed"


async def test_no_sample_is_taken_where_reads_queue(door: Door) -> None:
    await door.told(facts.person(1, 1))
    taken = await sample(door)
    gate = Gate(running=1)
    busy = Sampler(door.parts.samples, door.cache, door.pool, gate, 1)

    async with gate.turn():
        assert await busy.check(taken) == "busy"


async def test_hits_are_sampled_while_the_process_runs(door: Door) -> None:
    await door.told(facts.person(1))
    stop = asyncio.Event()
    before = sampled("fresh")
    running = asyncio.create_task(sampler(door).run(stop))

    async def one_was_compared() -> bool:
        await door.get(LIST)
        return sampled("fresh") > before

    await until(one_was_compared)
    stop.set()
    await running


def sampled(outcome: str) -> float:
    return metric("my500_query_sampled_pages_total", outcome=outcome)


async def test_a_slow_statement_is_told_once_with_its_plan(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    slow = SlowStatements(0.05)
    statement = "SELECT contact_id, pg_sleep(0.1) FROM contacts WHERE contact_id = $1"
    contact = facts.contact_id(1)
    async with read_model(database_url) as pool:
        await facts.project(pool, [facts.person(1)])
        async with db.pool(database_url, "query", size=2, heard=slow.heard) as watched:
            stop = asyncio.Event()
            telling = asyncio.create_task(slow.teller(watched)(stop))
            for _ in range(3):
                await watched.fetch(statement, contact)
            await watched.fetch("SELECT 1")

            async def is_told() -> bool:
                return bool(told(caplog, statement))

            await until(is_told)
            stop.set()
            await telling

    (once,) = told(caplog, statement)
    assert once["seconds"] >= 0.1
    assert "using contacts_pkey" in once["plan"]
    assert "contact_id = $1" in once["plan"]


def told(caplog: pytest.LogCaptureFixture, statement: str) -> list[dict[str, Any]]:
    """What was told of the statement; a busy machine makes others slow, too."""
    records = [record.__dict__ for record in caplog.records]
    return [r for r in records if r["message"] == "slow_statement" and r["statement"] == statement]


async def test_a_statement_without_a_plan_is_told_too(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SlowStatements(0.0)
    for statement in ("COMMIT", "SET x = 1"):
        slow.heard(LoggedQuery(statement, (), None, 1.0, None, None, None))
    async with read_model(database_url) as pool:
        stop = asyncio.Event()
        telling = asyncio.create_task(slow.teller(pool)(stop))

        async def is_told() -> bool:
            return bool(told(caplog, "SET x = 1"))

        await until(is_told)
        stop.set()
        await telling

    (once,) = told(caplog, "SET x = 1")
    (end,) = told(caplog, "COMMIT")
    assert once["plan"].startswith("not available")
    assert end["plan"] == "it has none"
