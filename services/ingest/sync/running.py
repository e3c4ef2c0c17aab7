"""One synchronisation, from its present position to its end.

Rule 1: what passes by waiting is waited out, with the sync unfinished: a moment for failures on
        the way, until midnight for the day's tokens. What can never work ends it, or skips the one
        list that is refused (see `trying`); if all are refused, it has failed. If a full sync
        failed since nothing at all is accepted, the next one takes over what it had read.
Rule 2: only a sync that reaches its end moves the moments from which the next delta reads, and for
        a list only if it read that one.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from services.ingest.settings import IngestSettings
from services.ingest.sync import schedule, sync_store, trying, vanishing, windows
from services.ingest.sync.asking import Asking, Source, Stopped
from services.ingest.sync.backpressure import Backpressure
from services.ingest.sync.claim import claimed
from services.ingest.sync.lists import List
from services.ingest.sync.progress import Progress
from services.ingest.sync.reading import Reader
from services.ingest.sync.status import Status
from services.ingest.sync.steps import Act, Mode, Step, left, plan
from services.ingest.sync.sync_store import Sync
from services.ingest.sync.written import Written
from shared import db
from shared.errors import Poison, Unavailable
from shared.kafka.publisher import Publisher
from shared.observability import SYNCS, bound
from shared.pipedrive.client import Clients
from shared.pipedrive.errors import Blocked, DaySpent, PipedriveRefused

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    settings: IngestSettings
    clients: Clients
    publisher: Publisher
    backpressure: Backpressure
    written: Written

    @property
    def dsn(self) -> str:
        return self.settings.database_url.get_secret_value()


async def go_on(parts: Parts, company_id: int, sync_id: UUID, stop: asyncio.Event) -> None:
    """Continue the sync, unless another process works on it.

    Raises:
        Unavailable: Postgres is away; another process may take the sync over.
    """
    with bound(company_id=company_id, sync_id=str(sync_id)):
        async with claimed(parts.dsn, company_id) as conn:
            if conn is None:
                return
            with db.own(conn):
                async with conn.transaction():
                    await sync_store.take_over(conn, sync_id)
                    sync = await sync_store.start(conn, sync_id)
            if sync is not None:
                await Run(parts, conn, sync).go(stop)


class Run:
    """Under a claim on the company, whose connection is `conn`."""

    def __init__(self, parts: Parts, conn: db.Connection, sync: Sync) -> None:
        self._parts = parts
        self._conn = conn
        self._progress = Progress(sync)

    @property
    def _sync(self) -> Sync:
        return self._progress.sync

    async def go(self, stop: asyncio.Event) -> None:
        status = await Status.of(self._conn, self._sync.company_id)
        reader = self._reader(status, stop)
        try:
            # What is read while Kafka is away is read again, and costs tokens again.
            await trying.again(reader, self._parts.publisher.ping)
            await status.running(self._sync)
            await self._steps(reader)
            if windows.are_read(self._plan(), self._progress.refused):
                await self._complete(status)
            else:
                await self._fail(status, f"No list can be read: {self._progress.last_refusal()}")
        except Stopped:
            log.info("sync_interrupted", extra={"step": self._progress.step})
        except (DaySpent, Blocked) as spent:
            await self._wait(reader, spent, spent.until)
        except PipedriveRefused as refused:
            self._progress.hold()
            await self._fail(status, refused.sentence)
        except Poison as why:
            await self._fail(status, str(why))
        except Unavailable as outage:
            rest = trying.rest(outage, self._progress.rounds)
            await self._wait(reader, outage, datetime.now(UTC) + rest)

    def _reader(self, status: Status, stop: asyncio.Event) -> Reader:
        parts, conn = self._parts, self._conn
        source = Source(
            parts.clients, conn, parts.publisher, parts.backpressure, parts.written, status, stop
        )
        return Reader(Asking(source, self._progress))

    async def _steps(self, reader: Reader) -> None:
        for step in left(self._plan(), self._progress.step):
            if step.of.name in self._progress.refused:
                continue
            self._progress.begin(step, datetime.now(UTC))
            log.info("sync_step", extra={"step": step.name})
            await trying.through(reader, step, partial(self._act, reader, step))
        await trying.again(reader, reader.settle)

    def _plan(self) -> tuple[Step, ...]:
        is_thorough = schedule.is_thorough(self._sync, self._parts.settings)
        return plan(self._sync.reads, is_thorough=is_thorough)

    async def _act(self, reader: Reader, step: Step) -> None:
        since = self._since(step.of)
        match step.act:
            case Act.WHOLE:
                await reader.whole(step.of)
            case Act.MEASURE:
                await reader.measure(step.of)
            case Act.WALK:
                await reader.walk(step.of)
            case Act.GONE:
                await vanishing.settle(reader, step.of)
            case Act.DELTA if since is not None:
                await reader.delta(step.of, since)
            case Act.NEWEST if since is not None:
                await reader.newest(step.of, since)
            case _:
                raise AssertionError("a delta has a beginning")

    def _since(self, of: List) -> datetime | None:
        sync = self._sync
        return sync.since and windows.begins(of, sync.since, sync.behind or {})

    async def _complete(self, status: Status) -> None:
        now = datetime.now(UTC)
        sync = self._sync
        began = sync.started_at or now
        is_full = sync.reads is Mode.FULL
        settings = self._parts.settings
        took = now - max(began, sync.created_at)  # without the time before one that was taken over
        next_full = schedule.next_full(now, settings, took=took) if is_full else None
        left = windows.left_behind(
            self._plan(), self._progress.refused, sync.since, sync.behind or {}
        )
        with db.own(self._conn):
            async with self._conn.transaction():
                await sync_store.advance(self._conn, sync)
                await sync_store.completed(
                    self._conn,
                    sync,
                    since=began,
                    behind=left,
                    incremental_due=schedule.next_incremental(now, settings),
                    full_due=next_full,
                )
                await sync_store.end(self._conn, sync.id, "done", None)
                await status.done(sync, now)
        SYNCS.labels(sync.mode.value, "done").inc()
        log.info("sync_done", extra={"tokens": sync.tokens, "changed": self._progress.changed()})

    async def _fail(self, status: Status, reason: str) -> None:
        log.error("sync_failed", extra={"reason": reason})
        sync = self._sync
        due = schedule.next_incremental(datetime.now(UTC), self._parts.settings)
        with db.own(self._conn):
            async with self._conn.transaction():
                await sync_store.advance(self._conn, sync)
                await sync_store.postpone(self._conn, sync.company_id, sync.id, due)
                await sync_store.end(self._conn, sync.id, "failed", reason)
                await status.failed(sync)
        SYNCS.labels(sync.mode.value, "failed").inc()

    async def _wait(self, reader: Reader, outage: Unavailable, until: datetime) -> None:
        log.warning("sync_waits", extra={"reason": str(outage), "until": until.isoformat()})
        await trying.note_wait(reader, str(outage), until)
