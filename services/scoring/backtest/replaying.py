"""Past scores: the journal is replayed to a store of its own, under a clock that follows it.

Rule 1: the scoring code is the service's own, its consumer and its ticker, so what is measured is
        what would have been shown.
Rule 2: at each sample's instant, all that happened by then has been replayed and nothing later,
        and what changes by time alone has been rescored.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from services.scoring.backtest import metrics, scratch
from services.scoring.backtest.journal import Journal
from services.scoring.backtest.metrics import HORIZON, Sample
from services.scoring.consumer import Scorer
from services.scoring.ticker import Ticker
from shared import db
from shared.events import FIRST
from shared.kafka.consumer import Received
from shared.tenants import Tenants

BATCH = 500

SAMPLE = """
SELECT score, count(*) AS given, count(warm.person_id) AS followed
  FROM contacts
  LEFT JOIN lineage USING (person_id)
  LEFT JOIN (SELECT DISTINCT person_id FROM outcomes WHERE at > $2 AND at <= $3) AS warm
    ON warm.person_id = coalesce(lineage.survivor_id, contacts.person_id)
 WHERE company_id = $1 AND score IS NOT NULL
 GROUP BY score
"""


class Replay:
    def __init__(self, pool: db.Pool, tenants: Tenants, journal: Journal) -> None:
        self._pool = pool
        self._journal = journal
        self._now = FIRST
        self._scorer = Scorer(tenants, self._clock)
        self._ticker = Ticker(pool, tenants, self._clock)

    async def run(self, instants: Sequence[datetime], told: Callable[[int], None]) -> list[Sample]:
        """One sample at each instant, in order; `told` is called with the number of replayed
        events.
        """
        samples: list[Sample] = []
        batch: list[Received] = []
        done = 0
        waiting = list(reversed(instants))
        async with scratch.amid(self._pool) as conn:
            async for at, received in self._journal.in_order(conn, instants[-1]):
                while waiting[-1] < at:
                    await self._tell(batch, waiting[-1])
                    samples.append(await self._sample(waiting.pop()))
                batch.append(received)
                done += 1
                if len(batch) == BATCH:
                    await self._tell(batch, at)
                    told(done)
        while waiting:
            await self._tell(batch, waiting[-1])
            samples.append(await self._sample(waiting.pop()))
        told(done)
        return samples

    def _clock(self) -> datetime:
        return self._now

    async def _tell(self, batch: list[Received], now: datetime) -> None:
        self._now = now
        if batch:
            async with self._pool.acquire() as conn, conn.transaction():
                await self._scorer.apply(conn, batch)
        batch.clear()

    async def _sample(self, at: datetime) -> Sample:
        self._now = at
        await self._ticker.round(asyncio.Event())
        rows = await self._pool.fetch(SAMPLE, self._journal.company_id, at, at + HORIZON)
        counts = {row["score"]: (row["given"], row["followed"]) for row in rows}
        return Sample(at, metrics.tally(counts))
