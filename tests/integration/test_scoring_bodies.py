"""Whatever a body says, it is applied: never a crash, never a NaN, never a batch that waits."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest import payload
from services.scoring.ticker import Ticker
from shared import events, topics
from shared.kafka.consumer import Received
from shared.observability import RESCORED
from tests.support import scoring_store
from tests.support.scoring_store import COMPANY, NOW, Store, fact

pytestmark = pytest.mark.integration

TENANT = {
    "company_id": COMPANY,
    "webhook_user": "hook",
    "webhook_password": "secret",
    "currency": "EUR",
    "currency_rates": {"USD": 0.5, "XAU": 1e300},
    "lead_labels": {"hot": "qualified"},
    "custom_fields": {"job_title": "aa", "lead_status": "bb", "response_rate": "cc"},
}
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "\x00", "1e999", "-1", "NaN", "12,5", "0000-00-00", "9999-12-31", "0001-01-01"]
    ),
    st.sampled_from(["2026-06-01", "2026-06-01 25:61:61", "2026-06-01T10:00:00+99:00", "won"]),
)
oddities = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
NAMES = {
    "person": ("name", "emails", "phones", "email", "org_id", "job_title", "custom_fields"),
    "activity": ("type", "due_date", "done", "marked_as_done_time", "person_id", "person_ids"),
    "deal": ("value", "currency", "status", "person_id", "won_time", "custom_fields"),
    "lead": ("person_id", "label_ids", "is_archived", "custom_fields", "value"),
}


@st.composite
def webhooks(draw: st.DrawFn) -> dict[str, Any]:
    """As version 2 has them, with any nonsense in any field."""
    entity = draw(st.sampled_from(sorted(NAMES)))
    number = draw(st.integers(1, 3))
    data = {name: draw(oddities) for name in NAMES[entity] if draw(st.booleans())}
    if entity != "person" and draw(st.booleans()):
        data["person_id"] = draw(st.integers(1, 3))
    meta = {
        "version": "2.0",
        "action": draw(st.sampled_from(["create", "change", "delete"])),
        "entity": entity,
        "entity_id": str(number),
        "company_id": str(COMPANY),
        "timestamp": (NOW + timedelta(minutes=draw(st.integers(0, 9)))).isoformat(),
    }
    return {"meta": meta, "data": {"id": number, **data}, "previous": None}


def days() -> st.SearchStrategy[Any]:
    return st.none() | st.dates()


instants = st.none() | st.datetimes(timezones=st.just(UTC))
numbers = st.none() | st.integers(0, 3) | st.just(events.BIGINT_MAX)
customs = st.none() | st.dictionaries(st.sampled_from(["aa", "bb", "cc", "dd"]), oddities)
MODELS = {
    "person": st.fixed_dictionaries(
        {},
        optional={
            "emails": st.none() | st.lists(st.fixed_dictionaries({"value": st.text()})),
            "org_id": numbers,
            "job_title": st.none() | st.text(),
            "custom_fields": customs,
        },
    ),
    "activity": st.fixed_dictionaries(
        {},
        optional={
            "type": st.none() | st.text() | st.just("Meeting"),
            "due_date": days(),
            "done": st.none() | st.booleans(),
            "marked_as_done_time": instants,
            "person_id": numbers,
        },
    ),
    "deal": st.fixed_dictionaries(
        {},
        optional={
            "value": st.none() | st.floats(),
            "currency": st.none() | st.text() | st.sampled_from(["USD", "XAU"]),
            "status": st.none() | st.text(),
            "person_id": numbers,
        },
    ),
    "lead": st.fixed_dictionaries(
        {},
        optional={
            "label_ids": st.none() | st.lists(st.text() | st.just("hot")),
            "is_archived": st.none() | st.booleans(),
            "person_id": numbers,
            "custom_fields": customs,
        },
    ),
}


@st.composite
def changes(draw: st.DrawFn) -> Received:
    entity = draw(st.sampled_from(sorted(MODELS)))
    body = draw(st.none() | MODELS[entity])
    version = draw(st.integers(0, events.BIGINT_MAX))
    at = draw(st.datetimes(timezones=st.just(UTC)))
    return fact(entity, draw(st.integers(1, 3)), version, body, occurred_at=at)


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with scoring_store.store(database_url, tmp_path, [TENANT]) as store:
        yield store


@FUZZ
@given(st.lists(changes(), max_size=8))
async def test_no_change_is_too_odd(store: Store, facts: list[Received]) -> None:
    await store.told(*facts)

    await check(store)


@FUZZ
@given(st.lists(webhooks(), min_size=1, max_size=6))
async def test_no_webhook_is_too_odd(store: Store, bodies: list[dict[str, Any]]) -> None:
    facts = []
    for body in bodies:
        written = json.dumps(body, allow_nan=False).encode()
        change = payload.change(written, company_id=COMPANY, now=NOW)
        told = events.parse(type(change), events.dump(change))
        facts.append(Received(topics.OF_ENTITY[change.entity].name, told))

    await store.told(*facts)

    await check(store)


async def check(store: Store) -> None:
    for row in await store.pool.fetch("SELECT * FROM contacts WHERE score IS NOT NULL"):
        assert row["score"] == min(10, max(0, sum(row["points"].values())))
        assert all(type(points) is int for points in row["points"].values())
    for amount in await store.pool.fetch("SELECT amount FROM deals WHERE amount IS NOT NULL"):
        assert math.isfinite(amount["amount"])
    for state in (await store.published()).values():
        assert 0 <= state.score <= 10
    await Ticker(store.pool, store.tenants, store.clock).round(asyncio.Event())


async def test_a_burst_of_activities_costs_one_rescore_a_batch(store: Store) -> None:
    await store.told(fact("person", 8, 1, {}), fact("person", 9, 1, {}))
    scored = RESCORED.labels("event")._value.get()
    burst = [
        fact("activity", number, version, {"type": "call", "person_id": 8, "done": version == 2})
        for version in (1, 2)
        for number in range(250)
    ]

    await store.told(*burst)

    assert RESCORED.labels("event")._value.get() == scored + 1
    assert len(await store.history(8)) == 2
    assert len(await store.history(9)) == 1
    assert (await store.published())[COMPANY, 8].score == await store.score(8) == 2
