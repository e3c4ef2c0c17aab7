"""Tables of weights: what is taken, what is refused and why, and what holds for all of them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.scoring import weight_table, weights
from services.scoring.score import TICK, score
from services.scoring.signals import Dealings, DealSum, Profile, Signals
from services.scoring.weight_table import WeightTable
from services.scoring.weights import Rates

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

points = st.integers(0, 10)


@st.composite
def tables(draw: st.DrawFn) -> WeightTable:
    bounds = draw(st.lists(st.floats(0, 1e6), max_size=4, unique=True))
    deal_points = sorted(draw(st.lists(points, min_size=len(bounds), max_size=len(bounds))))
    days = draw(st.lists(st.integers(1, 300), max_size=4, unique=True))
    fresh_points = sorted(draw(st.lists(points, min_size=len(days), max_size=len(days))))
    named = ("email", "phone", "organization", "meeting", "call", "responsive", "activity")
    return WeightTable.model_validate(
        {name: draw(points) for name in named}
        | {
            "activityCap": draw(st.integers(0, 6)),
            "activityWindowDays": draw(st.integers(1, 100)),
            "dealSteps": [
                {"above": above, "points": p}
                for above, p in zip(sorted(bounds), deal_points, strict=True)
            ],
            "recencySteps": [
                {"withinDays": within, "points": p}
                for within, p in zip(sorted(days, reverse=True), fresh_points, strict=True)
            ],
            "quietAfterDays": draw(st.integers(max(days, default=1), 400)),
            "quiet": draw(st.integers(-10, 0)),
            "responsiveAbove": draw(st.floats(0, 1)),
        }
    )


def test_an_empty_table_is_the_default() -> None:
    table = WeightTable.model_validate({})

    assert table.weights(1, Rates()) == weights.DEFAULT


@given(tables())
def test_a_stored_table_is_read_as_it_was_written(table: WeightTable) -> None:
    stored = orjson.loads(orjson.dumps(table.stored()))

    assert weight_table.read(stored) == table
    assert weight_table.read(stored | {"of_a_later_version": 1}) == table


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"email": -1}, "email: Input should be greater than or equal to 0."),
        ({"email": "1"}, "email: Input should be a valid integer."),
        ({"email": True}, "email: Input should be a valid integer."),
        ({"email": 1.5}, "email: Input should be a valid integer."),
        ({"email": None}, "email: Input should be a valid integer."),
        ({"phone": 11}, "phone: Input should be less than or equal to 10."),
        ({"quiet": 1}, "quiet: Input should be less than or equal to 0."),
        ({"activityCap": -1}, "activityCap: Input should be greater than or equal to 0."),
        ({"activityWindowDays": 0}, "activityWindowDays: Input should be greater than or equal"),
        ({"responsiveAbove": 1.1}, "responsiveAbove: Input should be less than or equal to 1."),
        ({"responsiveAbove": float("nan")}, "responsiveAbove: Input should be a finite number."),
        ({"fax": 1}, "fax: Extra inputs are not permitted."),
        (
            {"dealSteps": [{"above": 1000, "points": 2}, {"above": 5000, "points": 1}]},
            "dealSteps: deals above 5000 may not give fewer points than deals above 1000.",
        ),
        (
            {"dealSteps": [{"above": 10, "points": 2}, {"above": 10, "points": 2}]},
            "dealSteps: two steps begin above 10.",
        ),
        ({"dealSteps": [{"above": float("inf"), "points": 2}]}, "dealSteps.0.above: Input"),
        ({"dealSteps": [{"above": -1, "points": 2}]}, "dealSteps.0.above: Input should be gr"),
        ({"dealSteps": [{"points": 2}]}, "dealSteps.0.above: Field required."),
        (
            {"recencySteps": [{"withinDays": 7, "points": 1}, {"withinDays": 30, "points": 2}]},
            "recencySteps: activity within 7 days may not give fewer points than activity within",
        ),
        (
            {"recencySteps": [{"withinDays": 7, "points": 1}] * 2},
            "recencySteps: two steps end after 7 days.",
        ),
        (
            {"quietAfterDays": 10},
            "weights: quietAfterDays (10) may not be less than the longest recency step (30 days)",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_sentence(
    table: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        WeightTable.model_validate(table)

    [sentence] = weight_table.sentences(caught.value)
    assert sentence.startswith(told)


@given(
    tables(),
    st.lists(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=8),
    st.none() | st.timedeltas(-DAY, 500 * DAY),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
)
def test_under_any_table_no_sign_of_warmth_lowers_a_score(
    table: WeightTable,
    due: list[date],
    silence: timedelta | None,
    amount: float,
    more: float,
) -> None:
    weighing = table.weights(2, Rates())
    last = None if silence is None else NOW - silence
    due_dates = tuple(sorted(due, reverse=True))
    known = Dealings(due_dates, last_activity=last, deals=(DealSum("", False, amount),))
    cold = Signals(Profile(), known)
    bigger = replace(known, deals=(DealSum("", False, amount + more),))
    warmer = [
        Signals(Profile(True, True, 7, "Boss", True, True, 1.0), known),
        Signals(Profile(), bigger),
        Signals(Profile(), replace(known, due_dates=(date(2026, 12, 31), *due_dates))),
        Signals(Profile(), replace(known, call_due=date(2026, 12, 31))),
    ]
    if last is not None:
        fresher = replace(known, last_activity=last + DAY)
        warmer.append(Signals(Profile(), fresher))

    before = score(cold, weighing, now=NOW)

    for each in warmer:
        assert score(each, weighing, now=NOW).total >= before.total


@given(
    tables(),
    st.lists(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=8),
    st.timedeltas(-DAY, 500 * DAY),
    st.timedeltas(timedelta(0), 500 * DAY),
)
def test_under_any_table_points_hold_until_the_due_instant(
    table: WeightTable, due: list[date], silence: timedelta, span: timedelta
) -> None:
    weighing = table.weights(2, Rates())
    kept = tuple(sorted(due, reverse=True))[: table.activity_cap]
    signals = Signals(Profile(), Dealings(kept, last_activity=NOW - silence))

    now = score(signals, weighing, now=NOW)

    until = now.next_change_at
    later = NOW + span if until is None else min(NOW + span, until - TICK)
    assert score(signals, weighing, now=later).points == now.points
