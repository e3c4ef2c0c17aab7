"""Carries out a decision about weights: first into the log, then into force.

Rule 1: once the caller is told that weights are decided, they are in the log, so a rebuild has
        them.
Rule 2: a company's decisions are made one after the other, each with a stamp above all previous
        ones, so the last one made is in force.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.scoring import weighing
from services.scoring.clock import Clock, utc_now
from services.scoring.weights_answers import WantedWeights
from shared import db, locks, topics
from shared.auth import Identity
from shared.errors import Unavailable
from shared.events import Action, ScoringWeights, ScoringWeightsChange, Source, dump
from shared.kafka.publisher import Publisher, Record
from shared.web import Refused

log = logging.getLogger(__name__)

DECIDING_LOCK = 0x53574465
PUBLISH_S = 5.0
"""Part of what a user waits for; and Postgres ends a transaction that is idle for longer."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Decider:
    def __init__(self, pool: db.Pool, publisher: Publisher, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._publisher = publisher
        self._clock = clock

    async def decide(self, asker: Identity, wanted: WantedWeights) -> None:
        """Raises:
        Refused: 409, these weights are already in force.
        Unavailable: Kafka or Postgres is away; the decision may still take effect.
        """
        with db.errors():
            async with self._pool.acquire() as conn, conn.transaction():
                await locks.hold(conn, DECIDING_LOCK, [asker.company_id])
                newest = await weighing.decisions(conn, asker.company_id, limit=1)
                table = wanted.weights.stored()
                if newest and newest[0]["weights"] == table:
                    version = newest[0]["number"]
                    raise Refused(
                        409, "unchanged", f"These weights are already in force: version {version}."
                    )
                stamp = newest[0]["version"] if newest else 0
                change = _change(asker, wanted, stamp, self._clock())
                await self._log(change)
                await weighing.adopt(conn, [change], self._clock())
        log.info("weights_decided", extra={"company_id": asker.company_id})

    async def _log(self, change: ScoringWeightsChange) -> None:
        record = Record(topics.APP_SCORING_WEIGHTS.name, change.key, dump(change))
        try:
            async with asyncio.timeout(PUBLISH_S):
                await self._publisher.publish([record])
        except TimeoutError as late:
            raise Unavailable("Kafka: no acknowledgement in time") from late


def _change(
    asker: Identity, wanted: WantedWeights, stamp: int, now: datetime
) -> ScoringWeightsChange:
    return ScoringWeightsChange(
        event_id=str(uuid4()),
        company_id=asker.company_id,
        entity="scoring_weights",
        entity_id="weights",
        action=Action.CHANGE,
        version=max(stamp + 1, (now - EPOCH) // MICROSECOND),
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=ScoringWeights(
            weights=wanted.weights.stored(), user_id=asker.user_id, reason=wanted.reason
        ),
    )
