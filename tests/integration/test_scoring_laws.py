"""Whatever the order, the duplicates, the batches and the number of workers: the same scores."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from services.ingest import payload
from shared.kafka.consumer import Received
from tests.support import histories, scoring_store
from tests.support.model import expected_scores
from tests.support.scoring_store import TOPICS, Store, batches

pytestmark = pytest.mark.integration

COMPANY = histories.COMPANY_ID


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    credentials = {"webhook_user": "hook", "webhook_password": "secret"}
    tenant = {**histories.tenant(COMPANY), "company_id": COMPANY, **credentials}
    async with scoring_store.store(database_url, tmp_path, [tenant]) as store:
        yield store


def eventful(seed: int, events: int) -> tuple[list[Received], list[dict[str, object]]]:
    """What scoring reads of a company's life, and the bodies that told it."""
    pairs = histories.history(seed, events)
    bodies = [body for _, body in pairs]
    changes = [
        payload.change(orjson.dumps(body), company_id=COMPANY, now=histories.NOW)
        for body in bodies
    ]
    facts = [Received(TOPICS[c.entity][0].name, c) for c in changes if c.entity in TOPICS]
    return facts, bodies


async def scores(store: Store) -> dict[str, tuple[int, int]]:
    rows = await store.pool.fetch(
        "SELECT person_id, score, points FROM contacts WHERE score IS NOT NULL"
    )
    return {str(r["person_id"]): (r["score"], sum(r["points"].values())) for r in rows}


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_ends_in_the_scores_of_the_reference_model(
    store: Store, seed: int
) -> None:
    facts, bodies = eventful(seed, (200, 600)[seed % 2])
    store.now = histories.NOW
    model = expected_scores(
        bodies, company_id=COMPANY, now=store.now, tenant=histories.tenant(COMPANY)
    )
    expected = {
        person: (min(10, max(0, total)), total)
        for person, points in model.items()
        for total in [sum(points.values())]
    }
    seen = []

    for order in range(3):
        await store.forget()
        await store.told_all(batches(facts, order) if order else [facts])
        seen.append(await store.rows())

        assert await scores(store) == expected
        told = await store.published()
        assert {str(p): (s.score, sum(s.points.values())) for (_, p), s in told.items()
                if str(p) in expected} == expected  # fmt: skip
    for rows in seen[1:]:
        assert rows == seen[0]


@pytest.mark.parametrize("seed", range(3))
async def test_workers_side_by_side_end_in_the_same_rows(store: Store, seed: int) -> None:
    """As Kafka deals them out: each entity's facts to one worker, in any order."""
    facts, _ = eventful(seed, 400)
    store.now = histories.NOW
    await store.told(*facts)
    alone = await store.rows()
    await store.forget()

    async with asyncio.TaskGroup() as group:
        for worker in range(4):
            share = [f for f in facts if _partition(f) % 4 == worker]
            group.create_task(store.told_all(batches(share, seed)))

    assert await store.rows() == alone


def _partition(received: Received) -> int:
    return sum(received.fact.key)


async def test_saying_all_again_writes_nothing_and_tells_nothing(store: Store) -> None:
    facts, _ = eventful(1, 300)
    await store.told(*facts)
    history = await store.pool.fetchval("SELECT count(*) FROM score_changes")
    versions = "SELECT xmin::text, ctid::text FROM {}"
    before = [await store.pool.fetch(versions.format(t)) for t in ("contacts", "persons", "deals")]
    await store.pool.execute("TRUNCATE outbox")

    await store.told_all(batches(facts, 7))

    assert await store.published() == {}
    assert await store.pool.fetchval("SELECT count(*) FROM score_changes") == history
    after = [await store.pool.fetch(versions.format(t)) for t in ("contacts", "persons", "deals")]
    assert after == before
