"""What a sync's row keeps of what went wrong, and of how often."""

from datetime import UTC, datetime

from services.ingest.sync import lists
from services.ingest.sync.progress import MOST_ERRORS, Progress
from services.ingest.sync.steps import Act, Step
from tests.unit.ingest.sync.test_answers import a_sync

A_ROW = {"list": "persons", "id": "8", "error": "no"}


def test_a_refused_list_is_told_however_many_rows_failed_before() -> None:
    progress = Progress(a_sync())
    progress.fail([A_ROW] * MOST_ERRORS)

    progress.refuse(lists.LEADS, "Not in your plan.")

    assert progress.refused == {"leads"}
    refused = {"list": "leads", "id": "", "error": "Not in your plan."}
    assert progress.sync.errors == [refused, *[A_ROW] * (MOST_ERRORS - 1)]
    assert progress.sync.counts["leads"]["failed"] == 1


def test_a_row_that_failed_is_no_refused_list() -> None:
    progress = Progress(a_sync())

    progress.fail([A_ROW])

    assert progress.refused == set()


def test_rounds_in_vain_are_counted_until_it_gets_on() -> None:
    progress = Progress(a_sync())
    progress.begin(Step(Act.WHOLE, lists.USERS), datetime.now(UTC))
    rounds = []
    for page in (None, None, "a page", "a page", "another", None):
        before = progress.sync.mark
        if page is None:
            progress.start_over(lists.USERS)  # as by who reads a list that has no marks
        else:
            progress.note(next=page)
        progress.in_vain(before)
        rounds.append((progress.rounds, progress.gets_on))

    progress.begin(Step(Act.GONE, lists.LEADS), datetime.now(UTC))

    at_a_page = [(1, True), (2, True), (1, True)]
    assert rounds == [(1, False), (2, False), *at_a_page, (1, False)]
    assert (progress.rounds, progress.gets_on) == (0, False)
