"""Points come with what earns them and go with it; history tells; bad input does no harm."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.scoring.history import Keeper
from services.scoring.settings import ScoringSettings
from services.scoring.ticker import LONGEST_SLEEP_S, Ticker
from shared import db
from shared.errors import Poison
from tests.support import scoring_store
from tests.support.scoring_store import COMPANY, NOW, OTHER_COMPANY, Store, fact

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
BEYOND = "9999-12-31T23:59:59-12:00"
TODAY = NOW.date().isoformat()
TENANT = {
    "company_id": COMPANY,
    "webhook_user": "hook",
    "webhook_password": "secret",
    "currency": "EUR",
    "currency_rates": {"USD": 0.5},
    "lead_labels": {"hot": "qualified"},
}


@pytest.fixture
async def store(database_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with scoring_store.store(database_url, tmp_path, [TENANT]) as store:
        yield store


def a_call(**changes: Any) -> dict[str, Any]:
    return {"type": "call", "due_date": TODAY, "done": False, "person_id": 8} | changes


async def test_deals_whose_value_nobody_told_do_not_stop_a_merge(store: Store) -> None:
    await store.told(
        *(fact("person", number, 1, {"name": "Ann"}) for number in (8, 9)),
        fact("deal", 1, 1, {"person_id": 8, "value": 6000.0, "currency": "EUR"}),
        fact("deal", 2, 1, {"person_id": 9, "currency": "EUR"}),
    )
    apart = await store.score(8)
    await store.told(fact("person", 9, 2, None, merged_into="8"))

    assert apart > 0
    assert await store.score(8) == apart


async def test_a_lead_that_was_merged_into_another_counts_no_more(store: Store) -> None:
    """Leads are not numbered, so the other side of a merge is no number either."""
    hot = {"person_id": 8, "label_ids": ["hot"]}
    await store.told(
        fact("person", 8, 1, {"name": "Ann"}),
        fact("lead", "0b-1", 1, hot),
        fact("lead", "0b-2", 1, hot),
    )
    assert await store.score(8) == 1

    await store.told(fact("lead", "0b-1", 2, None, merged_into="0b-3"))
    await store.told(fact("lead", "0b-3", 3, {"person_id": 8}, merged_from="0b-2"))

    assert await store.score(8) == 0


async def test_a_contact_earns_points_for_everything_that_names_it(store: Store) -> None:
    await store.told(
        fact("deal", 1, 1, {"person_id": 8, "value": 4000, "currency": "USD"}),
        fact("lead", "0b-1", 1, {"person_id": 8, "label_ids": ["hot"]}),
        fact("activity", 1, 1, a_call(done=True)),
    )
    assert await store.score(8) is None

    await store.told(fact("person", 8, 1, {"org_id": 3, "emails": [{"value": "a@b.example"}]}))

    assert await store.points(8) == {
        "base.email": 1,
        "base.organization": 1,
        "activity.count": 1,
        "activity.call": 1,
        "relationship.deals": 1,
        "relationship.lead_qualified": 1,
        "engagement.recency": 2,
    }
    state = (await store.published())[COMPANY, 8]
    assert (state.score, state.last_contacted) == (8, datetime(2026, 6, 1, tzinfo=UTC))
    assert await store.history(8) == [(None, 8, "event", "person-8-1")]


async def test_what_is_taken_back_takes_its_points_along(store: Store) -> None:
    await store.told(
        fact("person", 8, 1, {"name": "A"}),
        fact("person", 9, 1, {"name": "B"}),
        fact("activity", 1, 1, a_call(done=True)),
        fact("deal", 1, 1, {"person_id": 8, "value": 5000, "currency": "EUR"}),
    )
    assert (await store.score(8), await store.score(9)) == (5, 0)

    await store.told(fact("deal", 1, 2, {"person_id": 9}))
    assert (await store.score(8), await store.score(9)) == (4, 1)
    await store.told(fact("activity", 1, 2, {"done": False}))
    assert (await store.score(8), await store.score(9)) == (2, 1)
    await store.told(fact("activity", 1, 3, None), fact("deal", 1, 3, None))
    assert (await store.score(8), await store.score(9)) == (0, 0)
    await store.told(fact("activity", 1, 4, {"subject": "Again"}))

    assert (await store.score(8), await store.score(9)) == (2, 0)
    assert [change[:2] for change in await store.history(8)] == [
        (None, 5),
        (5, 4),
        (4, 2),
        (2, 0),
        (0, 2),
    ]


async def test_a_rename_touches_no_contact(store: Store) -> None:
    await store.told(fact("person", 8, 1, {"name": "A", "org_id": 3}))
    before = await store.pool.fetchval("SELECT xmin::text FROM contacts")

    await store.told(fact("person", 8, 2, {"name": "B", "org_id": 3}))

    assert await store.pool.fetchval("SELECT version FROM persons") == 2
    assert await store.pool.fetchval("SELECT xmin::text FROM contacts") == before


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_merges_move_points_along_chains(store: Store, order: tuple[int, ...]) -> None:
    merges = (
        fact("person", 8, 5, None, merged_into="9"),
        fact("person", 9, 6, None, merged_into="10"),
        fact("person", 10, 7, {"name": "C"}, merged_from="9"),
    )
    await store.told(
        *(fact("person", number, 1, {"name": "X"}) for number in (8, 9, 10)),
        fact("activity", 1, 1, a_call()),
        fact("activity", 2, 1, a_call(type="meeting", person_id=9)),
    )

    for number in order:
        await store.told(merges[number])

    assert [await store.score(number) for number in (8, 9, 10)] == [None, None, 5]
    await store.told(fact("activity", 3, 1, a_call(type="email")))
    assert await store.score(10) == 7
    await store.told(fact("person", 9, 9, {"name": "Lives again"}))
    assert [await store.score(number) for number in (8, 9, 10)] == [None, 7, 0]


async def test_merges_in_a_circle_end(store: Store) -> None:
    await store.told(
        fact("person", 8, 2, None, merged_into="9"), fact("person", 9, 2, None, merged_into="8")
    )
    await store.told(fact("activity", 1, 1, a_call()))

    assert await store.score(8) is None
    assert await store.published() == {}


async def test_a_deleted_person_has_no_score_until_it_lives_again(store: Store) -> None:
    await store.told(fact("person", 8, 1, {"org_id": 3}))
    first = (await store.published())[COMPANY, 8].version
    await store.told(fact("person", 8, 2, None))
    assert await store.score(8) is None

    store.now -= DAY  # a clock that was set back
    await store.told(fact("person", 8, 3, {}))

    assert await store.score(8) == 1
    assert (await store.published())[COMPANY, 8].version > first


async def test_companies_with_the_same_ids_do_not_meet(store: Store) -> None:
    await store.told(
        fact("person", 8, 1, {"org_id": 3}),
        fact("person", 8, 1, {}, company_id=OTHER_COMPANY),
        fact("activity", 1, 1, a_call(), company_id=OTHER_COMPANY),
    )

    assert (await store.score(8), await store.score(8, OTHER_COMPANY)) == (1, 2)


async def test_absurd_bodies_are_borne(store: Store) -> None:
    await store.told(
        fact("person", 8, 1, {"job_title": "\x00", "org_id": 2**63 - 1}),
        fact("deal", 1, 1, {"person_id": 8, "value": float("nan"), "currency": "\x00"}),
        fact("deal", 2, 1, {"person_id": 8, "value": 1e308, "currency": "€" * 500}),
        fact("deal", 3, 1, {"person_id": 8, "value": -1e308, "currency": "USD"}),
        fact("deal", 4, 1, {"person_id": 8, "value": float("inf"), "currency": None}),
        fact("activity", 1, 1, a_call(due_date=date.max, type="x" * 9999)),
        fact("activity", 2, 1, a_call(due_date=date.min, done=True)),
        fact("activity", 3, 1, a_call(due_date=None, done=True, marked_as_done_time=BEYOND)),
    )

    assert await store.score(8) == 6
    with pytest.raises(Poison):
        await store.told(fact("person", "8x", 1, {}))
    with pytest.raises(Poison):
        await store.told(fact("person", 8, 2, {}, merged_from=str(2**63)))


@pytest.mark.parametrize(
    ("told", "points"),
    [
        ({"due_date": "0001-01-01"}, -1),
        ({"due_date": None, "marked_as_done_time": "0001-01-01T00:00:00Z"}, -1),
        ({"due_date": None, "marked_as_done_time": "9999-12-31T23:59:59.999999Z"}, 2),
    ],
)
async def test_the_ends_of_the_calendar_are_instants_too(
    store: Store, told: dict[str, Any], points: int
) -> None:
    await store.told(
        fact("person", 8, 1, {}), fact("activity", 1, 1, a_call(done=True, type=None, **told))
    )
    await store.told(fact("person", 8, 2, {"org_id": 5}))

    assert await store.points(8) == {"base.organization": 1, "engagement.recency": points}
    await Ticker(store.pool, store.tenants, store.clock).round(asyncio.Event())


async def test_the_ticker_rescores_what_is_due_and_only_that(store: Store) -> None:
    soon, late = (NOW - 7 * DAY + timedelta(hours=hours) for hours in (1, 5))
    await store.told(
        *(fact("person", number, 1, {}) for number in (8, 9, 10)),
        fact("activity", 1, 1, a_call(due_date=None, done=True, marked_as_done_time=soon)),
        fact(
            "activity",
            2,
            1,
            a_call(due_date=None, done=True, marked_as_done_time=late, person_id=9),
        ),
    )
    ticker = Ticker(store.pool, store.tenants, store.clock)
    await ticker.round(asyncio.Event())

    store.now += timedelta(hours=1)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(
                Ticker(store.pool, store.tenants, store.clock).round(asyncio.Event())
            )

    assert [await store.score(number) for number in (8, 9, 10)] == [1, 2, 0]
    assert await store.history(8) == [
        (None, 2, "event", "activity-1-1"),
        (2, 1, "time", None),
    ]
    assert (await store.published())[COMPANY, 8].score == 1
    assert len(await store.history(9)) == 1


async def test_a_round_ends_with_the_time_to_the_next(store: Store) -> None:
    done = a_call(due_date=None, done=True, marked_as_done_time=NOW - 7 * DAY)
    await store.told(
        *(fact("person", number, 1, {}) for number in range(1200)),
        *(fact("activity", n, 1, done | {"person_id": n}) for n in range(1200)),
    )
    ticker = Ticker(store.pool, store.tenants, store.clock)
    assert await ticker.round(asyncio.Event()) == LONGEST_SLEEP_S

    store.now += 23 * DAY - timedelta(seconds=0.5)
    assert await ticker.round(asyncio.Event()) == 0.5
    store.now += timedelta(seconds=0.5)

    assert await ticker.round(asyncio.Event()) == LONGEST_SLEEP_S
    assert await store.pool.fetchval("SELECT sum(score)::int FROM contacts") == 0
    assert await store.pool.fetchval("SELECT count(*) FROM score_changes") == 2400


async def test_ticking_through_time_is_computing_afresh(store: Store) -> None:
    facts = [
        fact("person", 8, 1, {"org_id": 1}),
        *(
            fact(
                "activity",
                number,
                1,
                a_call(
                    due_date=(NOW + (number - 30) * DAY).date(),
                    type=("call", "meeting", "email", "lunch")[number % 4],
                    done=number < 12,
                    marked_as_done_time=NOW + (number - 40) * DAY,
                ),
            )
            for number in range(20)
        ),
    ]
    await store.told(*facts)
    ticker = Ticker(store.pool, store.tenants, store.clock)
    for _ in range(45):
        store.now += 3 * DAY
        await ticker.round(asyncio.Event())
    stepped = await store.rows()

    await store.forget()
    await store.told(*facts)

    assert await store.rows() == stepped


async def test_history_names_the_event_that_changed_what_counts(store: Store) -> None:
    await store.told(*(fact("person", number, 1, {}) for number in (8, 9, 10)))

    await store.told(
        fact("person", 8, 3, {"org_id": 3}),
        fact("person", 8, 1, {}),
        fact("person", 8, 2, {"org_id": 4}),
        fact("person", 9, 2, {"org_id": 3}),
        fact("activity", 1, 1, {"type": "note", "person_id": 9}),
        fact("deal", 1, 1, {"title": "No value yet", "person_id": 9}),
        fact("lead", "0b-1", 1, {"title": "No label yet", "person_id": 9}),
        fact("activity", 2, 1, a_call(person_id=9)),
        fact("activity", 2, 2, a_call(person_id=10)),
        fact("activity", 2, 3, {"subject": "Another"}),
    )

    assert [(await store.history(number))[-1] for number in (8, 9, 10)] == [
        (0, 1, "event", "person-8-3"),
        (0, 1, "event", "person-9-2"),
        (0, 2, "event", "activity-2-2"),
    ]


async def test_history_has_a_month_of_its_own_and_is_pruned(store: Store) -> None:
    await store.told(fact("person", 7, 1, {}))
    keeper = Keeper(store.pool, 400 * DAY, store.clock)
    store.now += 45 * DAY
    await keeper.keep()
    await keeper.keep()
    assert await months(store.pool) == ["202607", "202608"]
    await store.told(fact("person", 8, 1, {}))
    assert await store.pool.fetchval("SELECT count(*) FROM score_changes_202607") == 1
    assert await store.pool.fetchval("SELECT count(*) FROM score_changes_default") == 1

    store.now += 410 * DAY
    await keeper.keep()

    assert await store.history(7) == []
    assert await store.history(8) == [(None, 0, "event", "person-8-1")]
    store.now += 30 * DAY
    await keeper.keep()
    assert await store.history(8) == []
    assert "202607" not in await months(store.pool)


async def test_history_may_be_kept_for_as_long_as_the_settings_take(store: Store) -> None:
    most = 365_000
    assert ScoringSettings(score_history_days=most).score_history_days == most
    with pytest.raises(ValidationError):
        ScoringSettings(score_history_days=most + 1)
    await store.told(fact("person", 7, 1, {}))

    await Keeper(store.pool, most * DAY, store.clock).keep()

    assert len(await store.history(7)) == 1


async def months(pool: db.Pool) -> list[str]:
    rows = await pool.fetch(
        r"SELECT right(relname, 6) FROM pg_class "
        r"WHERE relkind = 'r' AND relname ~ '^score_changes_\d{6}$' ORDER BY 1"
    )
    return [row[0] for row in rows]
