from datetime import UTC, date, datetime
from typing import Any

from services.orgs import moments
from services.orgs.folding import ACTIVITY_FIELDS
from shared.register import Register, Stamp

SEEN = datetime(2026, 5, 5, 12, tzinfo=UTC)


def an_activity(*, deleted: bool = False, **fields: Any) -> Register:
    held = dict.fromkeys(ACTIVITY_FIELDS) | {"done": True, "occurred_at": SEEN} | fields
    return Register(Stamp(1, 1, "e"), deleted, held, {})


def test_what_is_not_done_or_deleted_has_no_moment() -> None:
    assert moments.moment(an_activity(done=False)) is None
    assert moments.moment(an_activity(done=None)) is None
    assert moments.moment(an_activity(deleted=True)) is None


def test_the_time_of_marking_comes_first() -> None:
    marked = datetime(2026, 6, 1, tzinfo=UTC)

    assert moments.moment(an_activity(marked_as_done_time=marked)) == marked


def test_else_the_earlier_of_due_date_and_event() -> None:
    assert moments.moment(an_activity(due_date=date(2026, 5, 1))) == datetime(
        2026, 5, 1, tzinfo=UTC
    )
    assert moments.moment(an_activity(due_date=date(2026, 5, 9))) == SEEN
    assert moments.moment(an_activity()) == SEEN
