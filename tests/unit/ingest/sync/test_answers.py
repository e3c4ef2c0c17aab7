"""When syncs are due, and what is told of one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.ingest.settings import IngestSettings
from services.ingest.sync import answers, schedule
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Sync

NOW = datetime(2026, 3, 1, 12, 20, tzinfo=UTC)


def a_sync(**changes: object) -> Sync:
    counts = {
        "persons": {"read": 250, "changed": 9, "failed": 0, "total": 1000},
        "users": {"read": 3, "changed": 0, "failed": 0, "total": 3},
    }
    usual = Sync(
        id=UUID(int=1),
        company_id=7,
        mode=Mode.FULL,
        cause="connect",
        state="running",
        since=None,
        behind=None,
        mark={"step": "walk persons"},
        counts=counts,
        errors=[],
        tokens=30,
        reason=None,
        due_at=NOW,
        created_at=NOW - timedelta(seconds=50),
        started_at=NOW - timedelta(seconds=50),
        finished_at=None,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # names of its fields


def test_the_time_left_follows_from_what_has_been_read() -> None:
    assert answers.seconds_left(a_sync(), NOW) == 148


def test_a_list_that_grew_while_it_was_read_counts_as_read() -> None:
    counts = {"persons": {"read": 1200, "changed": 0, "failed": 0, "total": 1000}}

    assert answers.share(a_sync(counts=counts)) == 1.0


@pytest.mark.parametrize("step", ["walk leads", "walk archivedLeads", "gone persons"])
def test_when_all_that_was_counted_is_read_nobody_knows_how_long_the_rest_takes(
    step: str,
) -> None:
    counts = {
        "persons": {"read": 1000, "changed": 0, "failed": 0, "total": 1000},
        "leads": {"read": 100, "changed": 0, "failed": 0},
    }
    running = a_sync(counts=counts, mark={"step": step})

    for state in ("running", "waiting"):
        unknown = replace(running, state=state, due_at=NOW + timedelta(hours=9))
        assert answers.seconds_left(unknown, NOW) is None


def test_a_sync_that_is_all_but_done_is_not_said_to_be() -> None:
    counts = {"persons": {"read": 9999, "changed": 0, "failed": 0, "total": 10_000}}

    assert answers.seconds_left(a_sync(counts=counts), NOW) == 1


def test_while_it_waits_the_wait_is_part_of_the_time_left() -> None:
    hours = timedelta(hours=9, milliseconds=1)
    waiting = a_sync(state="waiting", due_at=NOW + hours)

    assert answers.seconds_left(waiting, NOW) == 9 * 3600 + 1 + 148
    assert answers.seconds_left(waiting, NOW + 2 * hours) is not None
    assert answers.seconds_left(replace(waiting, state="running"), NOW) == 148


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"finished_at": NOW}, 0), ({"started_at": None}, None), ({"counts": {}}, None)],
)
def test_nothing_is_made_up_where_nothing_is_known(
    changes: dict[str, object], expected: int | None
) -> None:
    assert answers.seconds_left(a_sync(**changes), NOW) == expected


@pytest.mark.parametrize("step", [None, "whole users", "measure deals"])
def test_until_the_lists_are_measured_nothing_is_left_to_tell(step: str | None) -> None:
    assert answers.seconds_left(a_sync(mark={"step": step} if step else {}), NOW) is None


def test_of_an_incremental_sync_as_much_is_left_as_there_are_lists_to_read() -> None:
    incremental = a_sync(mode=Mode.INCREMENTAL, since=NOW - timedelta(hours=1), counts={})
    begun = replace(incremental, mark={"step": "whole users"})
    half = replace(incremental, mark={"step": "delta activities"})

    assert answers.seconds_left(begun, NOW) is None
    assert answers.share(half) == 5 / 11
    assert answers.seconds_left(half, NOW) == 60
    assert answers.seconds_left(replace(half, finished_at=NOW), NOW) == 0


def test_a_company_that_was_never_read_in_full_is_whatever_was_asked_for() -> None:
    assert a_sync(mode=Mode.INCREMENTAL).reads is Mode.FULL
    assert a_sync(mode=Mode.INCREMENTAL, since=NOW).reads is Mode.INCREMENTAL


def test_lists_are_told_in_the_order_they_are_read_in() -> None:
    told = answers.sync(a_sync(), NOW)

    assert list(told["entities"]) == ["users", "persons"]
    assert told["waitingUntil"] is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW, datetime(2026, 3, 2, 2, tzinfo=UTC)),
        (NOW.replace(hour=1), datetime(2026, 3, 1, 2, tzinfo=UTC)),
        (NOW.replace(hour=2, minute=0), datetime(2026, 3, 2, 2, tzinfo=UTC)),
    ],
)
def test_the_full_sync_comes_in_the_next_night(now: datetime, expected: datetime) -> None:
    assert schedule.next_full(now, IngestSettings()) == expected


def test_a_full_sync_that_took_days_is_followed_by_as_many_of_what_changed() -> None:
    expected = datetime(2026, 3, 5, 2, tzinfo=UTC)

    assert schedule.next_full(NOW, IngestSettings(), took=timedelta(days=3)) == expected


@pytest.mark.parametrize(
    ("cause", "minute", "expected"),
    [("user 3", 20, True), ("hook", 20, True), ("schedule", 20, False), ("schedule", 14, True)],
)
def test_what_costs_much_is_read_once_an_hour_or_when_asked_for(
    cause: str, minute: int, expected: bool
) -> None:
    sync = a_sync(cause=cause, started_at=NOW.replace(minute=minute))

    assert schedule.is_thorough(sync, IngestSettings()) is expected
