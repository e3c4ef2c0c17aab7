"""What a sync's row keeps of what went wrong."""

from services.ingest.sync import lists
from services.ingest.sync.progress import MOST_ERRORS, Progress
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
