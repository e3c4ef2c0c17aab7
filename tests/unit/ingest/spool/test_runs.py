"""Runs are a set of ids, in order."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.spool.runs import Runs

IDS = st.integers(1, 40)


def runs_of(ids: list[int]) -> Runs:
    runs = Runs()
    for each in ids:
        runs.add(each)
    return runs


def ids_of(runs: list[tuple[int, int]]) -> list[int]:
    return [each for first, last in runs for each in range(first, last + 1)]


@given(st.lists(IDS), st.integers(0, 45))
def test_they_hold_what_was_added_and_not_dropped(ids: list[int], until: int) -> None:
    runs = runs_of(ids)
    runs.drop(until)
    left = {each for each in ids if each > until}

    assert {each for each in range(50) if each in runs} == left
    assert bool(runs) == bool(left)


@given(st.lists(IDS), st.integers(0, 45))
def test_the_first_of_them_are_the_lowest(ids: list[int], most: int) -> None:
    assert ids_of(runs_of(ids).first(most)) == sorted(set(ids))[:most]


@given(st.lists(IDS))
def test_ids_that_follow_one_another_are_one_run(ids: list[int]) -> None:
    runs = runs_of(ids)

    for first, last in runs.first(100):
        assert first - 1 not in runs
        assert last + 1 not in runs
        assert all(runs.last_of(each) == last for each in range(first, last + 1))
