"""Rescores contacts whose scores change by time alone.

Rule 1: only contacts that are due are read, by the index on `next_change_at`.
Rule 2: whether it is due is checked again under the contact's lock, so of many instances one
        rescores it.
Rule 3: a rescored contact is next due later than now, so a round ends.
Rule 4: the cost of a look depends on what is due, not on what was: while anybody reads under an
        old snapshot, such as a dump, the index keeps the former entries of rescored contacts. So a
        look finds many at once, and starts where an earlier round found nothing left; except for
        one look a minute, in case a transaction took longer to commit, or a clock was set.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from services.scoring import rescore, store
from services.scoring.absorb import Cause
from services.scoring.clock import Clock, utc_now
from services.scoring.families import Key
from services.scoring.weighing import Weighing
from shared import db, heart, lifecycle
from shared.tenants import Tenants

log = logging.getLogger(__name__)

FOUND = 10_000
BATCH = 500
SHORTEST_SLEEP_S = 0.1
LONGEST_SLEEP_S = 1.0
"""An event may bring an earlier instant than all known ones."""
WHOLE_LOOK_S = 60.0
LATE = timedelta(seconds=WHOLE_LOOK_S)
EVER = datetime.min.replace(tzinfo=UTC)
TIME = Cause("time")


class Ticker:
    def __init__(self, pool: db.Pool, tenants: Tenants, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._weighing = Weighing(tenants)
        self._clock = clock
        self._whole_at = -math.inf
        self._settled = EVER

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            sleep_s = await lifecycle.persist(lambda: self.round(stop), stop, what="ticker")
            if sleep_s is not None and await lifecycle.wait_or_stop(sleep_s, stop):
                return

    async def round(self, stop: asyncio.Event) -> float:
        """Rescore all that is due, batch after batch; return how long nothing will be due."""
        began, seconds = self._clock(), time.monotonic()
        if seconds - self._whole_at >= WHOLE_LOOK_S:
            self._whole_at, self._settled = seconds, EVER
        with db.errors():
            while not stop.is_set() and (due := await self._due()):
                for first in range(0, len(due), BATCH):
                    if not stop.is_set():
                        await self._rescore(due[first : first + BATCH])
            async with self._pool.acquire() as conn:
                next_due = await store.next_due(conn, self._settled)
        if not stop.is_set():
            self._settled = began - LATE
        if next_due is None:
            return LONGEST_SLEEP_S
        ahead = (next_due - self._clock()) / timedelta(seconds=1)
        return min(max(ahead, SHORTEST_SLEEP_S), LONGEST_SLEEP_S)

    async def _due(self) -> list[Key]:
        async with self._pool.acquire() as conn:
            return await store.due(conn, self._settled, self._clock(), FOUND)

    async def _rescore(self, due: Sequence[Key]) -> None:
        """One batch, in one transaction."""
        heart.beat()
        touched = dict.fromkeys(due, TIME)
        async with self._pool.acquire() as conn, conn.transaction():
            members = await rescore.lock(conn, touched)
            now = self._clock()
            await rescore.rescore(conn, touched, members, self._weighing, now=now, only_due=True)
