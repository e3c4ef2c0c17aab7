"""What a rebuild makes of the past is told as newer than the past, and history says so."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import orjson
import pytest

from services.orgs import applying, summing, telling
from services.orgs import main as orgs
from services.orgs import rebuild as orgs_rebuild
from services.orgs.settings import OrgsSettings
from services.scoring import rebuild as scoring_rebuild
from services.scoring.settings import ScoringSettings
from shared import db, service
from shared.kafka.consumer import Received
from shared.rebuild import schemas
from shared.rebuild.plan import Plan
from tests.support import scoring_store
from tests.support.orgs_facts import a_person, an_org
from tests.support.scoring_store import COMPANY, NOW, fact

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
LABELLED = {"company_id": COMPANY, "webhook_user": "hook", "webhook_password": "secret"}
Versions = dict[tuple[str, bytes], int]


async def relayed(pool: db.Pool) -> Versions:
    """What readers are told from now on: by topic and key, under which version."""
    rows = await pool.fetch("DELETE FROM outbox RETURNING topic, key, payload")
    return {(row[0], row[1]): orjson.loads(row[2])["version"] for row in rows}


async def switch(dsn: str, plan: Plan) -> None:
    """As `switching` does, where nobody is in the way."""
    conn = await asyncpg.connect(dsn)
    try:
        for statement in plan.told:
            await conn.execute(statement)
        async with conn.transaction():
            for statement in plan.carry:
                await conn.execute(statement)
            await schemas.rename(conn, plan)
    finally:
        await conn.close()


async def test_a_score_that_a_rebuild_makes_another_is_told_and_stands_in_the_history(
    database_url: str, tmp_path: Path
) -> None:
    facts = [
        *(fact("person", number, 1, {"org_id": 3}) for number in (7, 8, 9)),
        fact("lead", "a", 1, {"person_id": 8, "label_ids": ["hot"]}),
    ]
    relabelled = {**LABELLED, "lead_labels": {"hot": "qualified"}}
    (elsewhere := tmp_path / "next").mkdir()
    async with (
        scoring_store.store(database_url, tmp_path, [LABELLED]) as live,
        scoring_store.store(database_url, elsewhere, [relabelled], "scoring_next") as built,
    ):
        live.now = NOW + HOUR  # its clock is ahead, or it was the later to apply
        await live.told(*facts[:2], facts[3])
        told = await relayed(live.pool)
        await built.told(*facts)
        plan = scoring_rebuild.plan(ScoringSettings(DATABASE_URL=database_url))
        await switch(database_url, plan)

        assert await live.history(7) == [(None, 1, "event", "person-7-1")]
        assert await live.history(8) == [
            (None, 1, "event", "person-8-1"),
            (1, 2, "rebuild", None),
        ]
        assert await live.history(9) == [(None, 1, "rebuild", None)]
        telling = await relayed(live.pool)
        assert {key for _, key in telling} == {f"{COMPANY}:{n}".encode() for n in (8, 9)}
        assert all(version > told.get(key, 0) for key, version in telling.items())

        live.now = NOW
        await live.told(*(fact("person", number, 2, {"org_id": None}) for number in (7, 8)))
        later = await relayed(live.pool)
        assert len(later) == 2
        assert all(version > (told | telling)[key] for key, version in later.items())
        assert (await live.history(8))[-1] == (2, 1, "event", "person-8-2")


@asynccontextmanager
async def orgs_store(database_url: str, schema: str) -> AsyncIterator[db.Pool]:
    await service.prepare_store(database_url, schema, orgs.MIGRATIONS, asyncio.Event())
    async with db.pool(database_url, schema, size=2, durable=False) as pool:
        yield pool


@asynccontextmanager
async def both(database_url: str) -> AsyncIterator[tuple[db.Pool, db.Pool]]:
    """The store that is built beside the live one, and that one."""
    async with (
        orgs_store(database_url, "orgs_next") as built,
        orgs_store(database_url, "orgs") as live,
    ):
        yield built, live


async def switch_orgs(database_url: str) -> None:
    await switch(database_url, orgs_rebuild.plan(OrgsSettings(DATABASE_URL=database_url)))


async def tell(pool: db.Pool, facts: Iterable[Received]) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await applying.apply(conn, list(facts))


async def test_what_a_rebuild_groups_otherwise_is_told_as_newer(database_url: str) -> None:
    """As if the code that was there had read another name."""
    same = [an_org(3, "Third"), a_person(30, 3), an_org(1, "Acme"), a_person(10, 1)]
    async with both(database_url) as (built, live):
        await tell(built, [*same, an_org(2, "Bolt"), a_person(20, 2)])
        await tell(live, [*same, an_org(2, "Acme"), a_person(20, 2)])
        told = await relayed(live)

        await switch_orgs(database_url)

        telling = await relayed(live)
        assert len(telling) == 3  # both organizations, and whom the second one has
        assert all(version > told[key] for key, version in telling.items())
        await tell(live, [an_org(3, "Another", version=2), an_org(2, "Acme", version=2)])
        later = await relayed(live)
        assert all(version > (told | telling)[key] for key, version in later.items())


async def test_totals_that_were_yet_to_be_told_are_told_by_the_rebuilt_store(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [an_org(1, "Acme"), an_org(2, "Bolt"), a_person(10, 1)]
    async with both(database_url) as (built, live):
        await tell(built, facts)
        await tell(live, facts[:2])
        told = await relayed(live)
        monkeypatch.setattr(summing, "MANY", 1)
        await tell(live, facts[2:])
        assert len(await relayed(live)) == 1  # the link alone

        await switch_orgs(database_url)

        telling = await relayed(live)
        assert len(telling) == 1
        assert all(version > told[key] for key, version in telling.items())


async def test_totals_that_the_rebuilt_store_has_yet_to_tell_are_told_as_newer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the code that was there had not counted somebody."""
    facts = [an_org(1, "Acme"), a_person(10, 1)]
    async with both(database_url) as (built, live):
        await tell(built, facts)
        await relayed(built)
        with monkeypatch.context() as patch:
            patch.setattr(summing, "MANY", 1)
            await tell(built, [a_person(11, 1)])
        await tell(live, facts)
        told = await relayed(live)

        await switch_orgs(database_url)
        await relayed(live)
        await telling.tell(live, quiet_s=0)

        ((key, version),) = (await relayed(live)).items()
        assert version > told[key]


async def test_an_older_total_that_waits_is_told_as_older_than_the_newest(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live was the later to apply a batch whose totals neither store has told."""
    facts = [an_org(1, "Acme"), a_person(10, 1)]
    async with both(database_url) as (built, live):
        await tell(live, facts)
        await relayed(live)
        await tell(built, facts)
        monkeypatch.setattr(summing, "MANY", 1)
        await tell(built, [a_person(11, 1)])
        await tell(live, [a_person(11, 1)])

        await switch_orgs(database_url)
        first = await relayed(live)
        await telling.tell(live, quiet_s=0)

        ((key, version),) = (await relayed(live)).items()
        assert version > first[key]


async def test_what_live_had_yet_to_tell_is_told_also_if_it_looks_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a contact that came and left again, the leaving was untold; the new store met both at
    once.
    """
    facts = [an_org(1, "Acme"), a_person(10, 1)]
    async with both(database_url) as (built, live):
        await tell(built, facts)
        await relayed(built)
        await tell(live, [*facts, a_person(11, 1)])
        told = await relayed(live)
        monkeypatch.setattr(summing, "MANY", 1)
        await tell(live, [a_person(11, None, version=2)])
        await relayed(live)

        await switch_orgs(database_url)
        await telling.tell(live, quiet_s=0)

        ((key, version),) = (await relayed(live)).items()
        assert version > told[key]


async def test_totals_that_live_has_told_are_not_told_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [an_org(1, "Acme"), a_person(10, 1)]
    async with both(database_url) as (built, live):
        await tell(live, facts)
        await relayed(live)
        await tell(built, facts[:1])
        await relayed(built)
        monkeypatch.setattr(summing, "MANY", 1)
        await tell(built, facts[1:])

        await switch_orgs(database_url)
        await telling.tell(live, quiet_s=0)

        assert await relayed(live) == {}
