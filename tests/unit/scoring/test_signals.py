"""Dealings of several persons add up to those of one, however they are grouped."""

from datetime import UTC, date

from hypothesis import given
from hypothesis import strategies as st

from services.scoring.signals import Dealings, DealSum, combine

days = st.dates(date(2026, 1, 1), date(2026, 3, 1))
instants = st.datetimes(timezones=st.just(UTC))
deal_sums = st.dictionaries(
    st.tuples(st.sampled_from(["", "EUR"]), st.booleans()), st.integers(-9999, 9999), max_size=3
).map(lambda sums: tuple(sorted(DealSum(*key, float(amount)) for key, amount in sums.items())))
parts = st.builds(
    Dealings,
    st.lists(days, max_size=3).map(lambda d: tuple(sorted(d, reverse=True))),
    st.none() | days,
    st.none() | days,
    st.none() | days,
    st.none() | instants,
    deal_sums,
    st.booleans(),
    st.booleans(),
)


@given(parts, parts, parts)
def test_grouping_and_order_leave_no_trace(a: Dealings, b: Dealings, c: Dealings) -> None:
    at_once = combine([a, b, c], keep=3)

    assert combine([combine([a, b], keep=3), c], keep=3) == at_once
    assert combine([c, combine([b, a], keep=3)], keep=3) == at_once


def test_sums_of_one_currency_are_added_and_only_the_latest_dates_kept() -> None:
    first = Dealings(
        (date(2026, 1, 4), date(2026, 1, 1)), deals=(DealSum("EUR", is_lost=False, amount=0.1),)
    )
    second = Dealings(
        (date(2026, 1, 3), date(2026, 1, 2)),
        deals=(
            DealSum("EUR", is_lost=False, amount=0.2),
            DealSum("EUR", is_lost=True, amount=1.0),
        ),
    )

    together = combine([first, second], keep=3)

    assert together.due_dates == (date(2026, 1, 4), date(2026, 1, 3), date(2026, 1, 2))
    assert together.deals == (
        DealSum("EUR", is_lost=False, amount=0.30000000000000004),
        DealSum("EUR", is_lost=True, amount=1.0),
    )
