"""From which moment each list is read, whatever was refused before."""

from datetime import UTC, datetime, timedelta

from services.ingest.sync import lists, steps, windows
from services.ingest.sync.steps import Mode

HOUR = timedelta(hours=1)
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUARTERLY = steps.plan(Mode.INCREMENTAL, is_thorough=False)
HOURLY = steps.plan(Mode.INCREMENTAL, is_thorough=True)


def test_after_a_sync_that_read_all_no_list_is_behind() -> None:
    behind = {"archivedLeads": (BEGAN - HOUR).isoformat(), "leads": BEGAN.isoformat()}

    assert windows.left_behind(HOURLY, (), BEGAN, behind) == {}
    assert windows.left_behind(steps.FULL, (), BEGAN, behind) == {}


def test_a_refused_list_is_read_from_where_it_was_and_holds_up_no_other() -> None:
    first = windows.left_behind(HOURLY, {"persons"}, BEGAN, {})
    second = windows.left_behind(HOURLY, {"persons"}, BEGAN + HOUR, first)

    assert windows.begins(lists.PERSONS, BEGAN + 2 * HOUR, second) == BEGAN
    assert windows.begins(lists.DEALS, BEGAN + 2 * HOUR, second) == BEGAN + 2 * HOUR
    assert windows.left_behind(HOURLY, (), BEGAN + 2 * HOUR, second) == {}


def test_a_list_that_is_read_once_an_hour_is_read_from_its_own_last_time() -> None:
    quarter = HOUR / 4
    first = windows.left_behind(QUARTERLY, (), BEGAN, {})
    second = windows.left_behind(QUARTERLY, (), BEGAN + quarter, first)

    assert second == first
    assert windows.begins(lists.ARCHIVED_LEADS, BEGAN + HOUR, second) == BEGAN
    assert windows.begins(lists.LEADS, BEGAN + HOUR, second) == BEGAN + HOUR


def test_who_reads_from_earlier_on_reads_so_of_every_list() -> None:
    behind = {"archivedLeads": BEGAN.isoformat()}

    assert windows.begins(lists.ARCHIVED_LEADS, BEGAN - HOUR, behind) == BEGAN - HOUR


def test_what_the_first_sync_of_a_company_could_not_read_is_read_whole_by_the_next() -> None:
    behind = windows.left_behind(steps.FULL, {"leads"}, None, {})

    assert behind.keys() == {"leads"}
    assert windows.begins(lists.LEADS, BEGAN, behind) == windows.BEGINNING
    assert windows.begins(lists.PERSONS, BEGAN, behind) == BEGAN
