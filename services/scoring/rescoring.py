"""Rescores all contacts of a company once its weights or rates have changed, in the background.

Rule 1: a batch is one short transaction that also moves the position; a killed instance loses one
        batch, and the next instance continues.
Rule 2: of many instances one at a time works on a company, by the lock on its row.
Rule 3: a contact that was touched by an event meanwhile is rescored to the same state, which
        writes nothing.
Rule 4: the first batch waits for all who scored by the old weights and have not committed, and
        looks for contacts afterwards, so that none is missed that was not visible yet. The
        company's events wait for that batch.
"""

import asyncio
import logging
from collections.abc import Mapping

from services.scoring import rescore, rescoring_store, weighing, weights
from services.scoring.absorb import Cause
from services.scoring.clock import Clock, utc_now
from services.scoring.weighing import Weighing
from services.scoring.weights import Rates
from shared import db, heart, lifecycle, locks
from shared.tenants import Tenant, Tenants

log = logging.getLogger(__name__)

BATCH = 100
"""Events on the same event loop and the same contacts wait for one batch at most."""
IDLE_S = 1.0
RATES_LOCK = 0x53526174


class Rescorer:
    def __init__(self, pool: db.Pool, tenants: Tenants, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._tenants = tenants
        self._weighing = Weighing(tenants)
        self._clock = clock
        self._told: Mapping[int, Tenant] | None = None
        self._rates: Mapping[int, Rates] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await lifecycle.persist(lambda: self.round(stop), stop, what="rescoring")
            await lifecycle.wait_or_stop(IDLE_S, stop)

    async def round(self, stop: asyncio.Event) -> None:
        """Take over changed rates, then work until nothing is requested."""
        with db.errors():
            await self.take_over_rates()
            while not stop.is_set() and await self.batch():
                pass

    async def take_over_rates(self) -> None:
        """A company is checked when its rates in the file differ from what this instance saw
        before: two instances whose files differ for a while do not undo each other's work.
        """
        told = self._tenants.all()
        if told is self._told:
            return
        rates = {company_id: weights.rates_of(tenant) for company_id, tenant in told.items()}
        others = {each: rates[each] for each in rates if rates[each] != self._rates.get(each)}
        async with self._pool.acquire() as conn, conn.transaction():
            await locks.hold(conn, RATES_LOCK, ["rates"])
            changed = await weighing.take_over_rates(conn, others, self._clock())
        self._told, self._rates = told, rates
        if changed:
            log.info("rates_changed", extra={"companies": len(changed)})

    async def batch(self) -> bool:
        """False if nothing is left to do, or others are doing it."""
        heart.beat()
        async with self._pool.acquire() as conn, conn.transaction():
            taken = await rescoring_store.take(conn)
            if taken is None:
                return False
            company_id = taken.company_id
            if taken.total is None:
                await rescoring_store.begin(conn, company_id, self._clock())
                await locks.hold(conn, weighing.WEIGHTS_LOCK, [company_id])
            contacts = await rescoring_store.following(conn, taken, BATCH)
            if contacts:
                touched = dict.fromkeys(contacts, Cause(taken.cause))
                members = await rescore.lock(conn, touched)
                now = self._clock()
                await rescore.rescore(conn, touched, members, self._weighing, now=now)
                last = contacts[-1][1]
                await rescoring_store.move(conn, company_id, last, len(contacts), self._clock())
            else:
                await rescoring_store.finish(conn, company_id, self._clock())
                log.info("company_rescored", extra={"company_id": company_id})
        return True
