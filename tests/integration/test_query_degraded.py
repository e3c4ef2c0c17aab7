"""What users get while Redis or Postgres is gone, answers nobody, or takes nothing: real servers,
stopped, or set so.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import pytest
from redis import Redis

from services.query import front
from services.query.limits import Gate, Limits
from shared.settings import Settings
from tests.support import query_door
from tests.support import query_facts as facts
from tests.support.counts import metric
from tests.support.infra import Infra, empty_redis, new_database
from tests.support.query_door import Door
from tests.support.query_stage import staged
from tests.support.waiting import until

pytestmark = pytest.mark.integration

NO_ROOM = {"maxmemory-policy": "noeviction", "maxmemory": "1"}
NO_WRITES = {"min-replicas-to-write": "1"}
"""As of a Redis that is a replica, or cannot write to its disk: not even a deletion is taken."""
SILENCE_S = 4.0
"""Of a server that answers nobody, the first to ask may notice this late; all after it together
take no longer, where a wait of each would be more than twice that.
"""


@contextmanager
def refusing(servers: Infra, settings: Mapping[str, str]) -> Iterator[None]:
    """A Redis that answers, and refuses."""
    with Redis.from_url(servers.redis) as client:
        before = {name: client.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@asynccontextmanager
async def watching(door: Door) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(door.watch.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def opened(killable: Infra, limits: Limits | None = None) -> AsyncIterator[Door]:
    with new_database(killable) as database:
        async with query_door.opened(database, empty_redis(killable), limits) as door:
            yield door


async def body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    found: dict[str, Any] = await response.json()
    return found


def names(answer: dict[str, Any]) -> list[str]:
    return [contact["name"] for contact in answer["data"]["contacts"]]


async def timed(door: Door, path: str) -> tuple[float, aiohttp.ClientResponse]:
    began = time.perf_counter()
    response = await door.get(path)
    return time.perf_counter() - began, response


async def test_a_redis_that_answers_nobody_costs_one_moment_and_not_each_request(
    killable: Infra,
) -> None:
    async with opened(killable) as door:
        await door.told(facts.person(1, name="Ada"))
        await door.get("/api/my-500")
        async with killable.frozen("valkey"):
            first, response = await timed(door, "/api/my-500")
            rest = [await timed(door, "/api/my-500") for _ in range(40)]

        async def is_hit() -> bool:
            answer = await body(await door.get("/api/my-500"))
            return bool(answer["performance"]["cacheHit"])

        await until(is_hit)

    assert first < SILENCE_S
    assert sum(seconds for seconds, _ in rest) < SILENCE_S
    assert {each.status for each in (response, *(r for _, r in rest))} == {200}
    assert names(await response.json()) == ["Ada"]


async def test_a_redis_without_room_is_told_of_every_change_and_keeps_no_page(
    killable: Infra,
) -> None:
    redis_url = empty_redis(killable)
    with new_database(killable) as database:
        async with query_door.opened(database, redis_url) as door:
            await door.told(facts.person(1, 1, name="old"))
            before = [await page(door) for _ in range(2)]
            with refusing(killable, NO_ROOM):
                await door.told(facts.person(1, 2, name="new"))
                during = [await page(door) for _ in range(2)]
                async with query_door.opened(database, redis_url) as late:
                    await late.told(facts.person(1, 3, name="newer"))
                during.append(await page(door))
            after = [await page(door) for _ in range(2)]

    assert before == [(["old"], False), (["old"], True)]
    assert during == [(["new"], False), (["new"], False), (["newer"], False)]
    assert after == [(["newer"], False), (["newer"], True)]


async def page(door: Door) -> tuple[list[str], bool]:
    """The names on it, and whether it came from the cache."""
    answer = await body(await door.get("/api/my-500"))
    return names(answer), answer["performance"]["cacheHit"]


async def test_of_a_redis_that_refuses_marks_every_process_is_told_and_believes_it_no_more(
    killable: Infra,
) -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    with new_database(killable) as database:
        async with (
            staged(database, empty_redis(killable), settings) as stage,
            stage.instance() as one,
            stage.instance() as two,
        ):
            client = stage.client()

            async def seen(base: str) -> tuple[list[str], bool]:
                url = f"{base}/api/my-500"
                async with client.http.get(url, headers=client.headers) as response:
                    answer = await body(response)
                return names(answer), answer["performance"]["cacheHit"]

            async def everywhere(*wanted: tuple[list[str], bool]) -> bool:
                return all([await seen(each.url) in wanted for each in (one, two)])

            stop = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(stage.projector._invalidation.run(stop))
                await stage.told(facts.person(1, 1, name="old"))
                await until(lambda: everywhere((["old"], True)))
                with refusing(killable, NO_WRITES):
                    await stage.told(facts.person(1, 2, name="new"))
                    await until(lambda: everywhere((["new"], False)), SILENCE_S)
                await until(lambda: everywhere((["new"], True)))
                stop.set()


async def test_without_redis_so_many_read_so_many_wait_and_the_rest_come_back_later(
    killable: Infra,
) -> None:
    patience_s = 1.5
    limits = Limits(gate=Gate(running=1, waiting=2, patience_s=patience_s))
    async with opened(killable, limits) as door:
        await door.told(facts.person(1, name="Ada"))
        await asyncio.to_thread(killable.kill, "valkey")
        try:
            async with limits.gate.turn(), asyncio.TaskGroup() as group:
                tasks = [group.create_task(timed(door, "/api/my-500")) for _ in range(6)]
            refused = [task.result() for task in tasks]
            served = await door.get("/api/my-500")
        finally:
            await asyncio.to_thread(killable.start, "valkey")

    assert {response.status for _, response in refused} == {503}
    told = [(response.headers["Retry-After"], s < 0.9 * patience_s) for s, response in refused]
    assert sorted(told) == [("1", True)] * 4 + [("2", False)] * 2  # at once, and after waiting
    assert (await body(refused[0][1]))["code"] == "overloaded"
    assert sum(seconds < 0.9 * patience_s for seconds, _ in refused) == 4  # more than may wait
    assert max(seconds for seconds, _ in refused) < 3 * patience_s
    assert names(await body(served)) == ["Ada"]


async def test_cached_pages_are_served_marked_while_postgres_is_away(killable: Infra) -> None:
    async with opened(killable) as door, watching(door):
        await door.told(facts.person(1, name="Ada"))
        etag = (await door.get("/api/my-500")).headers["ETag"]
        await asyncio.to_thread(killable.kill, "postgres")
        await until(is_away(door))
        before = counted("stale")
        kept = await door.get("/api/my-500", etag=etag)
        assert counted("stale") == before + 1
        unread = await door.get("/api/my-500?page=2")
        await asyncio.to_thread(killable.start, "postgres")

        async def is_back() -> bool:
            return (await door.get("/api/my-500?page=2")).status == 200

        await until(is_back, 20)
        again = await body(await door.get("/api/my-500"))

    answer = await body(kept)
    assert kept.status == 200  # not 304: the mark must be seen
    assert answer["stale"] is True
    assert read_by_the_page() - told(answer) == {"performance.after"}  # who waits is told
    assert names(answer) == ["Ada"]
    assert unread.status == 503
    assert int(unread.headers["Retry-After"]) >= 1
    assert "stale" not in again


async def test_a_page_that_a_change_has_overtaken_is_still_better_than_none(
    killable: Infra,
) -> None:
    async with opened(killable) as door, watching(door):
        await door.told(facts.person(1, 1, name="Ada"))
        await door.get("/api/my-500")
        async with door.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await door.projector.apply(conn, [facts.person(1, 2, name="Ada L.")])
            await asyncio.to_thread(killable.kill, "postgres")
            with contextlib.suppress(Exception):
                await transaction.rollback()
        overtaken = await body(await door.get("/api/my-500"))
        unkept = await door.get("/api/my-500?page=9")
        await asyncio.to_thread(killable.start, "postgres")

    assert names(overtaken) == ["Ada"]
    assert overtaken["stale"] is True
    assert unkept.status == 503


async def test_a_postgres_that_answers_nobody_costs_seconds_once_and_then_nothing(
    killable: Infra,
) -> None:
    async with opened(killable) as door, watching(door):
        await door.told(facts.person(1, name="Ada"))
        await door.get("/api/my-500")
        async with killable.frozen("postgres"), asyncio.TaskGroup() as group:
            first = group.create_task(timed(door, "/api/my-500?page=2"))
            await until(is_away(door))
            known = [await timed(door, f"/api/my-500?page={n}") for n in range(3, 23)]
            kept = await body(await door.get("/api/my-500"))

        async def is_back() -> bool:
            return (await door.get("/api/my-500?page=2")).status == 200

        await until(is_back, 20)

    seconds, response = first.result()
    assert response.status == 503
    assert seconds < 15  # a statement that is no request's has 35
    assert {each.status for _, each in known} == {503}
    assert sum(each for each, _ in known) < SILENCE_S
    assert kept["stale"] is True


def read_by_the_page() -> set[str]:
    """What the page at `/` reads of a list's answer."""
    page = front.PAGE.read_text().partition("async function refresh()")[2]
    return set(re.findall(r"\bbody\.([\w.]+)", page.partition("\n}\n")[0]))


def told(answer: dict[str, Any]) -> set[str]:
    return {*answer, *(f"performance.{name}" for name in answer["performance"])}


def counted(origin: str) -> float:
    return metric("my500_query_pages_total", route="/api/my-500", origin=origin)


def is_away(door: Door) -> Any:
    async def away() -> bool:
        return door.watch.away

    return away
