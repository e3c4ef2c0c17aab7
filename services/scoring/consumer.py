"""Applies the log to the scores: decisions, then source rows, then the affected contacts.

Decisions come first, before any lock on a contact: a rescoring of the company holds its own row
while it locks contacts, so nobody may wait for that row while holding contacts.
"""

from collections.abc import Sequence

from services.scoring import rescore, weighing
from services.scoring.absorb import absorb
from services.scoring.clock import Clock, utc_now
from services.scoring.weighing import Weighing
from shared import db, topics
from shared.kafka.consumer import Received
from shared.tenants import Tenants


class Scorer:
    """Applies facts; `clock` is read once per batch, when its contacts are locked."""

    def __init__(self, tenants: Tenants, clock: Clock = utc_now) -> None:
        self._tenants = tenants
        self._weighing = Weighing(tenants)
        self._clock = clock

    async def apply(self, conn: db.Connection, facts: Sequence[Received]) -> None:
        decisions = [r.fact for r in facts if r.topic == topics.APP_SCORING_WEIGHTS.name]
        if decisions:
            await weighing.adopt(conn, decisions, self._clock())
        touched = await absorb(conn, facts, self._tenants)
        if not touched:
            return
        members = await rescore.lock(conn, touched)
        await rescore.rescore(conn, touched, members, self._weighing, now=self._clock())
