"""Rescores contacts whose score time alone has changed.

Rule 1: only contacts that are due are read, by the index on `next_change_at`.
Rule 2: what is due is asked again under the contact's lock, so of many instances one rescores it.
Rule 3: a rescored contact is next due later than now, so a round ends.
"""

import asyncio
import logging
from datetime import timedelta

from services.scoring import rescore, store
from services.scoring.absorb import Cause
from services.scoring.clock import Clock, utc_now
from services.scoring.weighing import Weighing
from shared import db, heart, lifecycle
from shared.tenants import Tenants

log = logging.getLogger(__name__)

BATCH = 500
SHORTEST_SLEEP_S = 0.1
LONGEST_SLEEP_S = 1.0
"""An event may bring an instant that is nearer than all that were known."""
TIME = Cause("time")


class Ticker:
    def __init__(self, pool: db.Pool, tenants: Tenants, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._weighing = Weighing(tenants)
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            sleep_s = await lifecycle.persist(lambda: self.round(stop), stop, what="ticker")
            if sleep_s is not None and await lifecycle.wait_or_stop(sleep_s, stop):
                return

    async def round(self, stop: asyncio.Event) -> float:
        """Rescore all that is due, batch after batch; return how long nothing will be."""
        with db.errors():
            while not stop.is_set() and await self.tick():
                pass
            async with self._pool.acquire() as conn:
                next_due = await store.next_due(conn)
        if next_due is None:
            return LONGEST_SLEEP_S
        ahead = (next_due - self._clock()) / timedelta(seconds=1)
        return min(max(ahead, SHORTEST_SLEEP_S), LONGEST_SLEEP_S)

    async def tick(self) -> int:
        """One batch, in one transaction; how many contacts were due when it looked."""
        heart.beat()
        async with self._pool.acquire() as conn, conn.transaction():
            due = await store.due(conn, self._clock(), BATCH)
            if due:
                touched = dict.fromkeys(due, TIME)
                members = await rescore.lock(conn, touched)
                now = self._clock()
                await rescore.rescore(
                    conn, touched, members, self._weighing, now=now, only_due=True
                )
        return len(due)
