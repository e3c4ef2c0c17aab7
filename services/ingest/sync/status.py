"""Publishes the state of a company's synchronisation for the other services.

Rule 1: it is shown on every page of the company, so it is published only when it matters: at the
        end, every few seconds while rows change, and with its progress as a wait begins. A
        scheduled sync that finds nothing publishes only its end.
Rule 2: versions grow from one message to the next, whatever the publishers' clocks say.
Rule 3: it goes through the outbox, in the transaction that makes it true: what a process tells of
        a sync that it has lost cannot follow what the next one tells.
"""

import time
from datetime import datetime
from typing import Final, Self

from services.ingest.sync import connection_store, sync_store
from services.ingest.sync.schedule import BY_THE_CLOCK
from services.ingest.sync.sync_store import Sync
from shared import db, outbox
from shared.states import SyncState, SyncStatus
from shared.topics import SYNC_STATUS

EVERY_S: Final = 5.0


class Status:
    """Of one run of a sync. `conn` is where it is recorded."""

    def __init__(self, conn: db.Connection, last_completed: datetime | None) -> None:
        self._conn = conn
        self._last_completed = last_completed
        self._told_at = 0.0
        self._said: tuple[int, int] | None = None

    @classmethod
    async def of(cls, conn: db.Connection, company_id: int) -> Self:
        with db.own(conn):
            last = await sync_store.last_completed(conn, company_id)
        return cls(conn, last)

    async def running(self, sync: Sync) -> None:
        """Raises:
        Unavailable: Postgres is away.
        """
        if time.monotonic() - self._told_at < EVERY_S or _is_quiet(sync):
            return
        self._told_at = time.monotonic()
        await self._tell(sync, SyncState.RUNNING, self._last_completed)

    async def waits(self, sync: Sync) -> None:
        """Published however recent the last one was: nothing follows until the wait is over.

        Raises:
            Unavailable: Postgres is away.
        """
        if not _is_quiet(sync) and _figures(sync) != self._said:
            await self._tell(sync, SyncState.RUNNING, self._last_completed)

    async def done(self, sync: Sync, at: datetime) -> None:
        await self._tell(sync, SyncState.IDLE, at)

    async def failed(self, sync: Sync) -> None:
        await self._tell(sync, SyncState.FAILED, self._last_completed)

    async def _tell(self, sync: Sync, state: SyncState, last: datetime | None) -> None:
        now_us = time.time_ns() // 1000
        processed, failed = figures = _figures(sync)
        with db.own(self._conn):
            async with self._conn.transaction():
                version = await connection_store.next_version(self._conn, sync.company_id, now_us)
                said = SyncStatus(
                    version=version,
                    company_id=sync.company_id,
                    state=state,
                    last_sync_at=last,
                    processed=processed,
                    failed=failed,
                )
                await outbox.put(self._conn, SYNC_STATUS, [said])
        self._said = figures


def _figures(sync: Sync) -> tuple[int, int]:
    """How many rows were read, and how many of them could not be."""
    counts = sync.counts.values()
    return sum(of["read"] for of in counts), sum(of["failed"] for of in counts)


def _is_quiet(sync: Sync) -> bool:
    return sync.cause == BY_THE_CLOCK and not any(of["changed"] for of in sync.counts.values())
