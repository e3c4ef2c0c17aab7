"""The sync role: starts what is due and resumes what is unfinished, for all companies.

Rule 1: any number of instances poll; the store has one unfinished sync per company, and a claim
        decides who works on it. What a dead instance leaves is taken up by the next that polls.
Rule 2: a company is synchronised on schedule once somebody has connected it.
Rule 3: the work on a company has a heart of its own: it waits as long as Pipedrive, Kafka and
        Postgres make it wait, and if it hangs, the process reports it.
Rule 4: of the companies that one process works on at a time, some places are left to incremental
        syncs: first syncs take hours, and everybody's pages would get as old meanwhile. So do the
        nightly syncs of hundreds of companies: one that waits for its turn syncs incrementally.
Rule 5: a bug that one company's data triggers ends that sync, not the process, which may also
        receive the webhooks of all companies.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.ingest.sync import claim, running, schedule, sync_store
from services.ingest.sync.running import Parts
from services.ingest.sync.schedule import BY_THE_CLOCK
from services.ingest.sync.status import Status
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Waiting
from shared import db, heart, lifecycle
from shared.errors import Unavailable
from shared.pipedrive.errors import NotConnected

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
WORK: Final = "Runner.work"
AT_ONCE: Final = 4
"""Companies that one process works on at a time; each takes a connection."""
READ_ALL_AT_ONCE: Final = AT_ONCE - 1
ASKED_AT_ONCE: Final = 100
"""Most syncs requested in one look: none starts before the look is over."""


class Runner:
    """`only` restricts it to one company."""

    def __init__(self, parts: Parts, pool: db.Pool, *, only: int | None = None) -> None:
        self._parts = parts
        self._pool = pool
        self._only = only
        self._at_work: dict[int, asyncio.Task[None]] = {}
        self._reading_all: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await lifecycle.persist(lambda: self._look(group, stop), stop, what="sync")
                await lifecycle.wait_or_stop(LOOK_S, stop)

    async def _look(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        with db.errors():
            async with self._pool.acquire() as conn:
                waiting = await sync_store.waiting(conn)
                held = await claim.held(conn, [each.company_id for each in waiting])
                if self._only is None:
                    await self._ask_for_what_is_due(conn, _to_be_read(waiting, held))
        for each in waiting:
            if self._only not in (None, each.company_id) or not self._has_room(each):
                continue
            # Companies that others work on must not take the places of those that nobody does.
            if each.company_id not in self._at_work and each.company_id not in held:
                task = group.create_task(self._work(each.company_id, each.sync_id, stop))
                self._at_work[each.company_id] = task
                if each.reads_all:
                    self._reading_all.add(each.company_id)

    def _has_room(self, sync: Waiting) -> bool:
        if sync.reads_all and len(self._reading_all) >= READ_ALL_AT_ONCE:
            return False
        return len(self._at_work) < AT_ONCE

    async def _ask_for_what_is_due(self, conn: db.Connection, before: int) -> None:
        """No more full syncs are requested than can be started; `before` are already waiting."""
        room = READ_ALL_AT_ONCE - len(self._reading_all) - before
        asked = 0
        for company_id, in_full, what_changed in await sync_store.due(conn):
            if asked == ASKED_AT_ONCE:
                return
            try:
                self._parts.clients.of(company_id)
            except NotConnected:
                continue  # the tenants file no longer has it, or its token
            if in_full and room > 0:
                room -= 1
                mode = Mode.FULL
            elif what_changed:
                mode = Mode.INCREMENTAL
            else:
                continue
            await sync_store.ask(conn, company_id, mode, BY_THE_CLOCK)
            asked += 1

    async def _work(self, company_id: int, sync_id: UUID, stop: asyncio.Event) -> None:
        with heart.beating(WORK):
            await self._go_on(company_id, sync_id, stop)

    async def _go_on(self, company_id: int, sync_id: UUID, stop: asyncio.Event) -> None:
        try:
            await running.go_on(self._parts, company_id, sync_id, stop)
        except Unavailable as outage:
            log.warning("sync_interrupted", extra={"reason": str(outage)})
            await lifecycle.wait_or_stop(LOOK_S, stop)
        except Exception as bug:
            log.error("sync_broke", exc_info=bug, extra={"company_id": company_id})
            await lifecycle.persist(lambda: self._give_up(company_id, sync_id), stop, what="sync")
            await self._say_so(company_id, sync_id, stop)
        finally:
            del self._at_work[company_id]
            self._reading_all.discard(company_id)

    async def _give_up(self, company_id: int, sync_id: UUID) -> None:
        """So that it is not retried over and over, beside webhooks in the same process."""
        due = schedule.next_incremental(datetime.now(UTC), self._parts.settings)
        with db.errors():
            async with self._pool.acquire() as conn, conn.transaction():
                await sync_store.postpone(conn, company_id, sync_id, due)
                await sync_store.end(conn, sync_id, "failed", "Something went wrong on our side.")

    async def _say_so(self, company_id: int, sync_id: UUID, stop: asyncio.Event) -> None:
        """Publishes that it has ended, separately: what broke the sync may break this, too."""
        try:
            await lifecycle.persist(lambda: self._tell(company_id, sync_id), stop, what="sync")
        except Exception as bug:
            log.error("sync_failure_untold", exc_info=bug, extra={"company_id": company_id})

    async def _tell(self, company_id: int, sync_id: UUID) -> None:
        with db.errors():
            async with self._pool.acquire() as conn:
                given_up = await sync_store.one(conn, company_id, sync_id)
                if given_up is not None:
                    status = await Status.of(conn, company_id)
                    await status.failed(given_up)


def _to_be_read(waiting: Iterable[Waiting], held: Collection[int]) -> int:
    """How many full syncs are waiting that nobody works on."""
    return sum(each.reads_all and each.company_id not in held for each in waiting)
