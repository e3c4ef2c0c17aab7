"""Decided weights come into force for every contact, once, while events go on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.scoring import rescoring_store, weighing
from services.scoring.rescoring import BATCH, Rescorer
from services.scoring.rescoring_store import Progress
from services.scoring.weighing import Weighing
from shared.errors import Poison
from shared.kafka.consumer import Received
from tests.support import scoring_store
from tests.support.scoring_store import COMPANY, NOW, OTHER_COMPANY, Store, decision, fact
from tests.support.waiting import until

pytestmark = pytest.mark.integration

TENANT = {"company_id": COMPANY, "webhook_user": "hook", "webhook_password": "secret"}
RATED = {**TENANT, "currency": "EUR", "currency_rates": {"USD": 0.5}}
STOP = asyncio.Event()
IS_WAITED_FOR = """
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND NOT granted
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with scoring_store.store(database_url, tmp_path, [TENANT]) as store:
        yield store


def persons(numbers: Sequence[int], version: int = 1) -> list[Received]:
    return [fact("person", number, version, {"org_id": version}) for number in numbers]


def rescorer(store: Store) -> Rescorer:
    return Rescorer(store.pool, store.tenants, store.clock)


async def progress(store: Store) -> Progress:
    async with store.pool.acquire() as conn:
        found = await rescoring_store.progress(conn, COMPANY)
    assert found is not None
    return found


async def version_in_force(store: Store) -> int:
    async with store.pool.acquire() as conn:
        return (await Weighing(store.tenants).of(conn, [COMPANY]))[COMPANY].version


async def test_a_decision_rescores_the_companys_contacts_and_says_so(store: Store) -> None:
    await store.told(
        *persons(range(BATCH + 10)),
        fact("person", 9000, 1, {}),
        fact("person", 9001, 1, {"org_id": 1}),
        fact("person", 9001, 2, None),
        fact("person", 1, 1, {"org_id": 4}, company_id=OTHER_COMPANY),
    )

    await store.told(decision(7, {"organization": 4}))
    await rescorer(store).round(STOP)

    assert [await store.score(number) for number in (8, 9000, 9001)] == [4, 0, None]
    assert await store.score(1, OTHER_COMPANY) == 1
    assert await store.history(8) == [(None, 1, "event", "person-8-1"), (1, 4, "weights", None)]
    versions = "SELECT DISTINCT weights_version FROM score_changes WHERE cause = 'weights'"
    assert await store.pool.fetchval(versions) == 2
    assert (await store.published())[COMPANY, 8].score == 4
    assert await store.history(9000) == [(None, 0, "event", "person-9000-1")]
    found = await progress(store)
    assert (found.cause, found.done, found.total) == ("weights", BATCH + 11, BATCH + 11)
    assert found.finished_at == NOW
    await store.told(*persons([8], version=2))
    assert await store.score(8) == 4


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_newest_decision_is_in_force_whatever_came_first(
    store: Store, order: tuple[int, ...]
) -> None:
    decided = [decision(7, {"email": 2}), decision(8, {"email": 3}), decision(9, {"email": 4})]
    for number in order:
        await store.told(decided[number], decided[number])
    await store.told(*decided)

    async with store.pool.acquire() as conn:
        rows = await weighing.decisions(conn, COMPANY, limit=9)
        in_force = (await Weighing(store.tenants).of(conn, [COMPANY]))[COMPANY]
    assert [(r["number"], r["reason"], r["weights"]["email"]) for r in rows] == [
        (4, "Reason 9", 4),
        (3, "Reason 8", 3),
        (2, "Reason 7", 2),
    ]
    assert (in_force.version, in_force.email) == (4, 4)


async def test_an_older_decision_that_comes_late_rescores_nothing(store: Store) -> None:
    await store.told(decision(9, {}))
    await rescorer(store).round(STOP)

    await store.told(decision(8, {}), decision(9, {}))

    assert (await progress(store)).finished_at is not None
    assert await version_in_force(store) == 3


@pytest.mark.parametrize(
    "bad",
    [
        decision(7, {"email": "much"}),
        decision(7, {"dealSteps": [{"above": 1, "points": 9}, {"above": 2, "points": 1}]}),
        decision(7, {}, action="delete", data=None),
    ],
)
async def test_a_decision_that_is_none_is_poison(store: Store, bad: Received) -> None:
    with pytest.raises(Poison):
        await store.told(bad)

    assert await version_in_force(store) == 1


async def test_whoever_is_killed_loses_a_batch_and_another_goes_on(store: Store) -> None:
    await store.told(*persons(range(4 * BATCH)))
    await store.told(decision(7, {"organization": 4}))
    assert await rescorer(store).batch()
    assert (await progress(store)).done == BATCH

    async with store.pool.acquire() as conn, conn.transaction():
        await rescoring_store.take(conn)
        assert not await rescorer(store).batch()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(rescorer(store).round(STOP))
    await rescorer(store).round(STOP)
    found = await progress(store)
    assert (found.done, found.total, found.finished_at) == (4 * BATCH, 4 * BATCH, NOW)
    changed = "SELECT count(*), count(DISTINCT person_id) FROM score_changes WHERE new_score = 4"
    assert tuple(await store.pool.fetchrow(changed)) == (4 * BATCH, 4 * BATCH)


async def test_a_decision_amid_a_rescoring_begins_it_anew(store: Store) -> None:
    await store.told(*persons(range(2 * BATCH)))
    await store.told(decision(7, {"organization": 4}))
    await rescorer(store).batch()

    await store.told(decision(8, {"organization": 5}))
    assert (await progress(store)).done == 0
    await rescorer(store).round(STOP)

    assert await store.pool.fetchval("SELECT count(*) FROM contacts WHERE score = 5") == 2 * BATCH


@pytest.mark.parametrize("seed", range(3))
async def test_events_beside_a_rescoring_end_in_the_scores_of_the_last_weights(
    store: Store, seed: int
) -> None:
    numbers = range(2 * BATCH)
    await store.told(*persons(numbers))

    async def events() -> None:
        for version in range(2, 12):
            chosen = [n for n in numbers if (n * 7 + version + seed) % 5 == 0]
            await store.told_all([persons(chosen[:90], version), persons(chosen[90:], version)])

    async def decisions() -> None:
        for version in (7, 8, 9):
            await store.told(decision(version, {"organization": version - 3}))
            await rescorer(store).batch()

    async with asyncio.TaskGroup() as group:
        group.create_task(events())
        group.create_task(decisions())
        for _ in range(2):
            group.create_task(rescorer(store).round(STOP))
    await rescorer(store).round(STOP)

    scores = await store.pool.fetch("SELECT score, count(*) FROM contacts GROUP BY score")
    assert [tuple(row) for row in scores] == [(6, 2 * BATCH)]


async def test_a_contact_that_nobody_could_see_yet_has_the_weights_decided_meanwhile(
    store: Store,
) -> None:
    """A worker has scored it by those before, and commits once the rescoring has begun."""
    await store.told(*persons([1]))
    async with asyncio.TaskGroup() as group, store.pool.acquire() as conn, conn.transaction():
        await store.scorer.apply(conn, persons([2]))
        await store.told(decision(7, {"organization": 4}))
        rescoring = group.create_task(rescorer(store).round(STOP))

        async def is_done_or_waits() -> bool:
            return rescoring.done() or await store.pool.fetchval(IS_WAITED_FOR)

        await until(is_done_or_waits)

    assert [await store.score(number) for number in (1, 2)] == [4, 4]
    found = await progress(store)
    assert (found.done, found.total, found.finished_at) == (2, 2, NOW)


async def test_a_rescoring_serves_companies_by_turns(store: Store) -> None:
    await store.told(*persons(range(3 * BATCH)))
    await store.told(*(fact("person", n, 1, {"org_id": 2}, company_id=12) for n in range(5)))
    await store.told(decision(7, {"organization": 4}))
    await rescorer(store).batch()

    await store.told(decision(7, {"organization": 4}, company_id=OTHER_COMPANY))
    await rescorer(store).batch()

    assert await store.score(1, OTHER_COMPANY) == 4
    assert (await progress(store)).finished_at is None


async def test_changed_rates_rescore_whom_they_concern(store: Store, tmp_path: Path) -> None:
    deal = {"person_id": 8, "value": 1800, "currency": "USD"}
    await store.told(*persons([8, 9]), fact("deal", 1, 1, deal))
    worker = rescorer(store)
    await worker.round(STOP)
    assert await store.score(8) == 2

    await with_tenants(store, tmp_path, [RATED])
    await worker.round(STOP)

    assert await store.score(8) == 1
    assert (await store.history(8))[-1] == (2, 1, "rates", None)
    assert len(await store.history(9)) == 1
    assert (await progress(store)).cause == "rates"
    await with_tenants(store, tmp_path, [])
    await worker.round(STOP)
    assert await store.score(8) == 1
    await with_tenants(store, tmp_path, [TENANT | {"api_domain": "https://a.example"}])
    await worker.round(STOP)
    assert await store.score(8) == 2


async def test_an_instance_with_an_older_file_does_not_undo_rates(
    store: Store, tmp_path: Path
) -> None:
    late, early = rescorer(store), rescorer(store)
    await late.round(STOP)
    asked = "SELECT count(*) FROM rescorings"
    assert await store.pool.fetchval(asked) == 0

    await with_tenants(store, tmp_path, [RATED])
    await early.round(STOP)
    before = await progress(store)
    store.now = NOW.replace(year=2027)
    await late.round(STOP)

    assert await progress(store) == before


async def with_tenants(store: Store, folder: Path, tenants: list[dict[str, Any]]) -> None:
    (folder / "tenants.json").write_bytes(orjson.dumps(tenants))
    store.tenants.reload()


async def test_a_cap_above_the_default_counts_all_it_may(store: Store) -> None:
    due = {"type": "lunch", "due_date": "2026-06-01", "person_id": 8}
    await store.told(*persons([8]), *(fact("activity", n, 1, due) for n in range(9)))

    await store.told(decision(7, {"activityCap": 7}))
    await rescorer(store).round(STOP)

    assert await store.points(8) == {"base.organization": 1, "activity.count": 7}
