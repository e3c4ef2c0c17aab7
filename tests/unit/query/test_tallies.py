"""Where an activity counts, and how a user's totals move."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query import tallies
from services.query.batch import User
from services.query.contact import UNKNOWN, Contact, Key
from services.query.tallies import Held, Kind, ShareMove, Tally, Totals

ME, OTHER = User(1, 7), User(1, 8)
CALL = Kind(date(2026, 3, 4), None, "call", True)
MONDAY = date(2026, 3, 2)


def living(owner: int | None) -> Contact:
    fields = {**UNKNOWN.person.fields, "owner_id": owner}
    return replace(UNKNOWN, person=replace(UNKNOWN.person, deleted=False, fields=fields))


def merged(into: int) -> Contact:
    fields = {**UNKNOWN.person.fields, "merged_into": into}
    return replace(UNKNOWN, person=replace(UNKNOWN.person, fields=fields))


@given(st.dates())
def test_a_week_begins_on_the_monday_before(day: date) -> None:
    monday = tallies.monday(day)

    assert monday.weekday() == 0
    assert timedelta(0) <= day - monday < timedelta(days=7)


@pytest.mark.parametrize(
    ("due", "added", "week"),
    [
        (date(2026, 3, 8), datetime(2026, 1, 1, tzinfo=UTC), MONDAY),
        (None, datetime(2026, 3, 8, 23, 59, tzinfo=UTC), MONDAY),
        (None, None, tallies.NO_WEEK),
    ],
)
def test_the_due_date_counts_and_else_the_day_it_was_added(
    due: date | None, added: datetime | None, week: date
) -> None:
    assert Kind(due, added, "call", True).week == week


def test_the_owner_at_the_end_of_the_merges_counts() -> None:
    rows = {
        Key(1, 1): merged(2),
        Key(1, 2): merged(3),
        Key(1, 3): living(7),
        Key(1, 4): merged(5),
        Key(1, 5): merged(4),
        Key(1, 6): merged(99),
    }

    owners = [tallies.owner_of(rows, Key(1, number)) for number in range(1, 9)]

    assert owners == [7, 7, 7, None, None, None, None, None]


def test_activities_go_from_one_owner_to_the_other() -> None:
    key = Key(1, 1)
    transfer = tallies.transfer({key: living(7)}, {key: living(8)})

    moves = tallies.handed_over(transfer, [Held(key, CALL), Held(key, CALL)])

    assert moves == {Tally(1, 7, MONDAY, "call", True): -2, Tally(1, 8, MONDAY, "call", True): 2}


def test_who_keeps_a_contact_hands_nothing_over() -> None:
    key = Key(1, 1)
    renamed = replace(living(7), score=UNKNOWN.score._replace(score=5))

    transfer = tallies.transfer({key: living(7)}, {key: renamed})

    assert (transfer.roots, transfer.touched) == ({}, frozenset())


def test_a_merge_into_a_contact_of_the_same_owner_hands_nothing_over() -> None:
    before = {Key(1, 1): living(7), Key(1, 2): living(7)}

    transfer = tallies.transfer(before, {Key(1, 1): merged(2)})

    assert transfer.roots == {}
    assert transfer.touched == {Key(1, 1)}


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (ShareMove(ME, 0, 3, True, True), Totals(1, 3)),
        (ShareMove(ME, 3, 5, True, True), Totals(0, 2)),
        (ShareMove(ME, 3, 0, True, True), Totals(-1, -3)),
        (ShareMove(ME, 3, 3, True, False), Totals(-1, -3)),
        (ShareMove(ME, 3, 3, False, True), Totals(1, 3)),
        (ShareMove(ME, 0, 3, False, False), Totals(0, 0)),
        (ShareMove(ME, 0, 0, False, True), Totals(0, 0)),
    ],
)
def test_totals_count_organizations_that_live_and_have_contacts(
    move: ShareMove, expected: Totals
) -> None:
    assert tallies.totals([move]) == {ME: expected}


def test_each_user_has_totals_of_its_own() -> None:
    moves = [ShareMove(ME, 0, 1, True, True), ShareMove(OTHER, 0, 2, True, True)]

    assert tallies.totals([*moves, *moves]) == {ME: Totals(2, 2), OTHER: Totals(2, 4)}
