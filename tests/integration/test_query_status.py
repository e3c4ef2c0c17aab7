"""How a company's synchronisation stands, on pages that outlive what is told of it."""

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from services.query.limits import Gate, Limits
from shared.settings import Settings
from tests.support import query_facts as facts
from tests.support.counts import calls, have_called
from tests.support.query_instance import Instance
from tests.support.query_stage import Stage, staged
from tests.support.waiting import until

pytestmark = pytest.mark.integration

PATHS = ("/api/my-500", "/api/stats")


@pytest.fixture
async def stage(database_url: str, redis_url: str) -> AsyncIterator[Stage]:
    async with staged(database_url, redis_url, Settings()) as made:
        yield made


async def ask(
    stage: Stage, instance: Instance, path: str, company: int = facts.COMPANY, **headers: str
) -> tuple[int, Any, str | None]:
    whole = stage.client(company=company).headers | headers
    async with stage.http.get(instance.url + path, headers=whole) as response:
        body = await response.json() if response.status == 200 else None
        return response.status, body, response.headers.get("ETag")


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_stays_and_tells_the_newest_status(stage: Stage, path: str) -> None:
    await stage.told(facts.person(1), facts.status(1, "running"))
    async with stage.instance() as one, stage.instance() as two:
        for instance in (one, two):
            await ask(stage, instance, path)
        for version, state in ((2, "idle"), (3, "running"), (4, "failed")):
            await stage.told(facts.status(version, state))
            for instance in (one, two, one):
                status, body, _ = await ask(stage, instance, path)
                told = body["data"]["syncStatus"]
                assert (status, told["state"], told["processed"]) == (200, state, version)
                assert body["performance"]["cacheHit"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_what_a_browser_keeps_is_over_with_the_status(
    stage: Stage, path: str, encoding: str
) -> None:
    await stage.told(*(facts.person(number) for number in range(1, 30)), facts.status(1, "idle"))
    async with stage.instance() as one:
        _, _, first = await ask(stage, one, path, **{"Accept-Encoding": encoding})
        known = {"If-None-Match": first or "", "Accept-Encoding": encoding}
        assert (await ask(stage, one, path, **known))[0] == 304

        await stage.told(facts.status(2, "running"))
        status, body, second = await ask(stage, one, path, **known)
        assert (status, body["data"]["syncStatus"]["state"]) == (200, "running")

        known["If-None-Match"] = second or ""
        assert (await ask(stage, one, path, **known))[0] == 304


async def test_another_companys_status_is_not_told(stage: Stage) -> None:
    other = facts.COMPANY + 1
    await stage.told(facts.person(1), facts.person(1, company=other), facts.status(1, "idle"))
    async with stage.instance() as one:
        for company in (facts.COMPANY, other):
            await ask(stage, one, "/api/my-500", company)
        await stage.told(facts.status(2, "running"))

        _, ours, _ = await ask(stage, one, "/api/my-500")
        _, theirs, _ = await ask(stage, one, "/api/my-500", other)

    assert ours["data"]["syncStatus"]["state"] == "running"
    assert theirs["data"]["syncStatus"]["state"] == "never"
    assert theirs["performance"]["cacheHit"]


@pytest.mark.parametrize("path", PATHS)
async def test_where_there_is_no_room_to_look_a_page_tells_the_status_known_last(
    stage: Stage, path: str
) -> None:
    limits = Limits(gate=Gate(running=1, waiting=0))
    await stage.told(facts.person(1), facts.status(1, "idle"))
    async with stage.instance(limits) as one:
        _, _, known = await ask(stage, one, path)
        for version, state, last in ((2, "running", "idle"), (3, "failed", "running")):
            await stage.told(facts.status(version, state))
            async with limits.gate.turn():
                status, body, etag = await ask(stage, one, path)
            assert (status, body["data"]["syncStatus"]["state"], etag) == (200, last, known)
            assert "stale" not in body

            _, body, known = await ask(stage, one, path)
            assert body["data"]["syncStatus"]["state"] == state


async def test_one_read_tells_all_who_ask_before_it_begins(stage: Stage) -> None:
    """There is room for no more than one to wait: whoever reads beside it is refused."""
    limits = Limits(gate=Gate(running=1, waiting=1, patience_s=60))
    path, asked = "/api/my-500", []
    await stage.told(facts.person(1), facts.status(1, "idle"))
    async with stage.instance(limits) as one, Redis.from_url(stage.redis_url) as client:
        await ask(stage, one, path)
        await stage.told(facts.status(2, "running"))
        async with asyncio.TaskGroup() as group, limits.gate.turn():
            for _ in range(10):
                looks = await calls(client, "mget")  # at generations
                asked.append(group.create_task(ask(stage, one, path)))
                await until(functools.partial(have_called, client, "mget", looks + 1))

    answers = [task.result()[1] for task in asked]
    assert {body["data"]["syncStatus"]["state"] for body in answers} == {"running"}
