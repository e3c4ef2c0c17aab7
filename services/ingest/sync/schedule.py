"""When a company is due for a sync. Pure."""

from datetime import datetime, timedelta
from typing import Final

from services.ingest.settings import IngestSettings
from services.ingest.sync.sync_store import Sync

BY_THE_CLOCK: Final = "schedule"
DAY: Final = timedelta(days=1)


def next_incremental(now: datetime, settings: IngestSettings) -> datetime:
    return now + timedelta(seconds=settings.sync_interval_seconds)


def next_full(
    now: datetime, settings: IngestSettings, *, took: timedelta = timedelta()
) -> datetime:
    """The next night, in UTC. A full sync that took days, as its tokens ran out, is followed by as
    many days of incremental ones, for which there would be no tokens otherwise.
    """
    now += took
    tonight = now.replace(hour=settings.sync_full_hour, minute=0, second=0, microsecond=0)
    return tonight if tonight > now else tonight + DAY


def is_thorough(sync: Sync, settings: IngestSettings) -> bool:
    """Whether an incremental sync also reads what is costly and changes rarely: if a user started
    it, and else once an hour.
    """
    at = sync.started_at
    if sync.cause != BY_THE_CLOCK or at is None:
        return True
    return timedelta(minutes=at.minute) < timedelta(seconds=settings.sync_interval_seconds)
