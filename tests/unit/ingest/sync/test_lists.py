"""Pipedrive's lists, their order, and the steps of a sync."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.sync import lists, steps
from services.ingest.sync.steps import Act, Mode

IDS = st.integers(0, 2**63 - 1)


@given(IDS, IDS)
def test_places_sort_as_the_ids_do(one: int, other: int) -> None:
    places = [lists.PERSONS.place(str(each)) for each in (one, other)]

    assert (places[0] < places[1]) == (one < other)


@given(IDS)
def test_a_place_tells_its_id(number: int) -> None:
    place = lists.PERSONS.place(str(number))

    assert lists.entity_id(place, is_number=True) == str(number)


@pytest.mark.parametrize(
    ("entity", "is_archived", "expected"),
    [
        ("deal", True, lists.ARCHIVED_DEALS),
        ("deal", False, lists.DEALS),
        ("lead", True, lists.ARCHIVED_LEADS),
        ("person", False, lists.PERSONS),
    ],
)
def test_archived_rows_stand_in_a_list_of_their_own(
    entity: str, is_archived: bool, expected: lists.List
) -> None:
    assert lists.holding(entity, is_archived=is_archived) is expected


def test_what_is_gone_is_asked_for_when_all_has_been_walked() -> None:
    acts = [step.act for step in steps.plan(Mode.FULL, is_thorough=True)]

    assert acts.index(Act.GONE) > max(n for n, act in enumerate(acts) if act is Act.WALK)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("is_thorough", [True, False])
def test_a_sync_goes_on_with_the_step_it_was_in(mode: Mode, is_thorough: bool) -> None:
    whole = steps.plan(mode, is_thorough=is_thorough)

    for place, step in enumerate(whole):
        assert steps.left(whole, step.name) == whole[place:]


def test_a_step_nobody_knows_any_more_begins_from_the_beginning() -> None:
    assert steps.left(steps.FULL, "walk stamps") == steps.FULL
    assert steps.left(steps.FULL, None) == steps.FULL
