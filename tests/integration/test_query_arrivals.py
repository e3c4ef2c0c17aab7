"""`?after=`: a reader sees what it wrote, or is told within two seconds that it does not yet."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.query.live.arrivals import Arrivals
from services.query.main import SCHEMA
from shared import db
from shared.kafka import offsets
from shared.kafka.offsets import Move, Partition
from shared.positions import Position, Scored, decode, encode
from shared.settings import Settings
from tests.support import proxy
from tests.support import query_facts as facts
from tests.support.proxy import Weather
from tests.support.query_stage import Stage, staged

pytestmark = pytest.mark.integration

CAMPAIGN = Partition("app.campaign", 3)


@pytest.fixture
async def stage(database_url: str, redis_url: str) -> AsyncIterator[Stage]:
    async with staged(database_url, redis_url, Settings()) as made:
        async with made.pool.acquire() as conn:
            await offsets.load(conn, [CAMPAIGN])
        yield made


async def commit(stage: Stage, start: int, following: int, *told: Any) -> None:
    """As the consumer does it: the effects and the offset in one transaction."""
    async with stage.pool.acquire() as conn, conn.transaction():
        await offsets.advance(conn, [Move(CAMPAIGN, start, following)])
        after = await stage.projector.apply(conn, told)
    await after(committed=True)


async def ask(stage: Stage, url: str) -> tuple[int, Any, str | None, float]:
    began = time.perf_counter()
    async with stage.http.get(url, headers=stage.client().headers) as response:
        body = await response.json()
        return response.status, body, response.headers.get("X-After"), time.perf_counter() - began


async def test_a_page_waits_until_it_shows_what_was_written(stage: Stage) -> None:
    await commit(stage, 0, 5, facts.person(1))
    token = encode([Position("app.campaign", 3, 5), Position("pipedrive.deals", 0, 10**9)])
    async with stage.instance() as one:
        await ask(stage, f"{one.url}/api/my-500")
        waiting = asyncio.create_task(ask(stage, f"{one.url}/api/my-500?after={token}"))
        contact = asyncio.create_task(
            ask(stage, f"{one.url}/api/contacts/{facts.contact_id(1)}?after={token}")
        )
        await asyncio.wait([waiting, contact], timeout=0.3)
        assert not waiting.done()
        assert not contact.done()

        await commit(stage, 5, 6, facts.campaign(1, 2, added=True))

        status, body, said, _ = await waiting
        assert (status, body["performance"]["after"], said) == (200, "shown", "shown")
        assert body["data"]["contacts"][0]["addedToCampaign"]
        status, body, said, _ = await contact
        assert (status, said) == (200, "shown")
        assert body["data"]["addedToCampaign"]


async def test_a_page_waits_for_the_organization_that_a_contact_was_made_in(stage: Stage) -> None:
    await commit(stage, 0, 6, facts.person(1))
    token = encode([Position("app.campaign", 3, 5)], [UUID(facts.contact_id(1))])
    async with stage.instance() as one:
        waiting = asyncio.create_task(ask(stage, f"{one.url}/api/my-500?after={token}"))
        await commit(stage, 6, 7, facts.link(1, 5))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()

        await commit(stage, 7, 8, facts.organization(5))

        _, body, said, _ = await waiting
    assert said == "shown"
    assert body["data"]["contacts"][0]["organization"]["name"] == "Organization 5"


async def test_a_page_waits_for_what_scoring_makes_of_a_done_activity(stage: Stage) -> None:
    before, after = (datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2))
    done_us = int(after.timestamp()) * 1_000_000
    await commit(stage, 0, 6, facts.person(1), facts.score(1, 2, 1, contacted=before))
    told = Scored(UUID(facts.contact_id(1)), done_us)
    token = encode([Position("app.campaign", 3, 5)], scored=[told])
    async with stage.instance() as one:
        waiting = asyncio.create_task(ask(stage, f"{one.url}/api/my-500?after={token}"))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()

        await commit(stage, 6, 7, facts.score(1, 4, 2, contacted=after))

        _, body, said, _ = await waiting
    assert said == "shown"
    assert body["data"]["contacts"][0]["warmnessScore"] == 4


async def test_a_page_waits_until_a_contact_that_was_made_has_a_score(stage: Stage) -> None:
    await commit(stage, 0, 6, facts.person(1))
    made = Scored(UUID(facts.contact_id(1)))
    token = encode([Position("app.campaign", 3, 5)], scored=[made])
    async with stage.instance() as one:
        waiting = asyncio.create_task(ask(stage, f"{one.url}/api/my-500?after={token}"))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()

        await commit(stage, 6, 7, facts.score(1, 0, 1))

        _, _, said, _ = await waiting
    assert said == "shown"


async def test_another_tenants_contact_is_waited_for_in_vain(stage: Stage) -> None:
    other = facts.COMPANY + 1
    facts_of_other = [
        facts.person(1, company=other),
        facts.link(1, 5, company=other),
        facts.organization(5, company=other),
    ]
    await commit(stage, 0, 6, *facts_of_other)
    token = encode([Position("app.campaign", 3, 5)], [UUID(facts.contact_id(1, other))])
    async with stage.instance() as one:
        *_, said, took = await ask(stage, f"{one.url}/api/my-500?after={token}")

    assert said == "pending"
    assert took > 1.9


async def test_what_is_applied_already_is_answered_at_once(stage: Stage) -> None:
    await commit(stage, 0, 5, facts.person(1))
    token = encode([Position("app.campaign", 3, 4)])
    async with stage.instance() as one:
        *_, took = await ask(stage, f"{one.url}/api/my-500?after={token}")
        others = ("organizations?", "stats?", "my-500/search?q=a&", "my-500/suggest?q=a&")
        bodies = [(await ask(stage, f"{one.url}/api/{path}after={token}"))[1] for path in others]

    assert took < 1
    assert [body["performance"]["after"] for body in bodies] == ["shown"] * len(others)


async def test_after_two_seconds_there_is_an_answer_that_says_so(stage: Stage) -> None:
    token = encode([Position("app.campaign", 3, 5)])
    async with stage.instance() as one:
        asked = [ask(stage, f"{one.url}/api/my-500?after={token}&page={n + 1}") for n in range(30)]
        answers = [await task for task in [asyncio.create_task(each) for each in asked]]

    assert {body["performance"]["after"] for _, body, _, _ in answers} == {"pending"}
    assert all(1.9 < took < 4 for *_, took in answers)


async def test_who_is_refused_what_is_on_its_way_is_told_that_it_is(stage: Stage) -> None:
    await commit(stage, 0, 5)
    token = encode([Position("app.campaign", 3, 5)])
    async with stage.instance() as one:
        url = f"{one.url}/api/contacts/{facts.contact_id(1)}?after={token}"
        too_soon = await ask(stage, url)
        await commit(stage, 5, 6, facts.person(1))
        there = await ask(stage, url)
        elsewhere = await ask(stage, url.replace(facts.contact_id(1), facts.contact_id(2)))

    assert (too_soon[0], too_soon[2]) == (404, "pending")
    assert (there[0], there[2]) == (200, "shown")
    assert (elsewhere[0], elsewhere[2]) == (404, "shown")


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "x" * 6_001])
async def test_what_is_no_token_is_refused(stage: Stage, token: str) -> None:
    async with stage.instance() as one:
        for path in ("/api/my-500", f"/api/contacts/{facts.contact_id(1)}"):
            status, body, _, _ = await ask(stage, f"{one.url}{path}?after={token}")

            assert (status, body["code"]) == (400, "bad_request")


async def test_a_postgres_that_is_gone_is_asked_no_longer_than_a_reader_waits(
    stage: Stage, database_url: str
) -> None:
    await commit(stage, 0, 5, facts.person(1))
    token = decode(encode([Position("app.campaign", 3, 4)]))
    async with (
        proxy.before(database_url) as link,
        db.pool(proxy.through(database_url, link), SCHEMA, size=2) as pool,
    ):
        arrivals = Arrivals(pool, {"app.campaign"}, "")
        assert await arrivals.is_applied(facts.COMPANY, token)

        await link.turn(Weather.HALF_OPEN)
        assert not await arrivals.is_applied(facts.COMPANY, token)
        link.pass_by()

        assert await arrivals.is_applied(facts.COMPANY, token)
