"""When an activity was done. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from shared.events import LAST
from shared.register import Register

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of_version(version: int) -> datetime:
    """The instant that a version stands for, within the range of datetime."""
    try:
        return _EPOCH + timedelta(microseconds=version)
    except OverflowError:
        return LAST


def moment(activity: Register) -> datetime | None:
    """Null while it is not done, or deleted."""
    if activity.deleted or not activity.fields["done"]:
        return None
    return _done_at(activity.fields)


def _done_at(fields: Mapping[str, Any]) -> datetime | None:
    marked: datetime | None = fields["marked_as_done_time"]
    seen: datetime | None = fields["occurred_at"]
    due: date | None = fields["due_date"]
    if marked is not None:
        return marked
    if due is None or seen is None:
        return seen
    return min(datetime.combine(due, time(), UTC), seen)
