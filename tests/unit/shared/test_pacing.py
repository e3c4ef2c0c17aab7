"""How long loops rest."""

from hypothesis import given
from hypothesis import strategies as st

from shared.pacing import Pace

PACE = Pace(times=2.0, least_s=0.01, most_s=0.1, much=100)

seconds = st.floats(0, 1000)


def test_who_found_little_rests_as_long_as_it_worked_times_a_factor() -> None:
    assert PACE.rest(0.02, found=99) == 0.04


def test_who_found_much_goes_on_at_once() -> None:
    assert PACE.rest(0.02, found=100) == 0.0


@given(seconds, st.integers(0, 99))
def test_a_rest_has_a_least_and_an_end(worked_s: float, found: int) -> None:
    assert PACE.least_s <= PACE.rest(worked_s, found) <= PACE.most_s


@given(seconds, seconds, st.integers(0, 200))
def test_longer_work_never_shortens_the_rest(one: float, other: float, found: int) -> None:
    shorter, longer = sorted((one, other))

    assert PACE.rest(shorter, found) <= PACE.rest(longer, found)


def test_without_much_everyone_rests() -> None:
    assert Pace(times=2.0, least_s=0.01, most_s=0.1).rest(0.02, found=10**6) == 0.04
