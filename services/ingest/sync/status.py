"""Tells the other services how a company's synchronisation stands.

Rule: whoever reads it shows it on every page of the company, so it is told when there is something
to tell: at the ends, and every few seconds while rows change. A sync by the clock that found
nothing says so once an hour.
"""

import time
from datetime import UTC, datetime
from typing import Final

from services.ingest.sync.schedule import BY_THE_CLOCK
from services.ingest.sync.sync_store import Sync
from shared.events import dump
from shared.kafka.publisher import Publisher
from shared.kafka.rounds import Record
from shared.states import SyncState, SyncStatus
from shared.topics import SYNC_STATUS

EVERY_S: Final = 5.0


class Status:
    """Of one run of a sync."""

    def __init__(self, publisher: Publisher, last_completed: datetime | None) -> None:
        self._publisher = publisher
        self._last_completed = last_completed
        self._told_at = 0.0

    async def running(self, sync: Sync) -> None:
        """Raises:
        Unavailable: Kafka is away.
        """
        if time.monotonic() - self._told_at < EVERY_S or _is_quiet(sync):
            return
        self._told_at = time.monotonic()
        await self._tell(sync, SyncState.RUNNING, self._last_completed)

    async def done(self, sync: Sync, at: datetime) -> None:
        last = self._last_completed
        if _is_quiet(sync) and last is not None and _is_same_hour(last, at):
            return
        await self._tell(sync, SyncState.IDLE, at)

    async def failed(self, sync: Sync) -> None:
        await self._tell(sync, SyncState.FAILED, self._last_completed)

    async def _tell(self, sync: Sync, state: SyncState, last: datetime | None) -> None:
        said = SyncStatus(
            version=int(datetime.now(UTC).timestamp() * 1_000_000),
            company_id=sync.company_id,
            state=state,
            last_sync_at=last,
            processed=sum(of["read"] for of in sync.counts.values()),
            failed=sum(of["failed"] for of in sync.counts.values()),
        )
        await self._publisher.publish([Record(SYNC_STATUS.name, said.key, dump(said))])


def _is_quiet(sync: Sync) -> bool:
    return sync.cause == BY_THE_CLOCK and not any(of["changed"] for of in sync.counts.values())


def _is_same_hour(one: datetime, other: datetime) -> bool:
    return f"{one:%Y%m%d%H}" == f"{other:%Y%m%d%H}"
