"""The log's way into the scores: source rows first, then the contacts that they concern."""

from collections.abc import Sequence

from services.scoring import rescore
from services.scoring.absorb import absorb
from services.scoring.clock import Clock, utc_now
from services.scoring.rescore import WeightsOf
from shared import db
from shared.kafka.consumer import Received
from shared.tenants import Tenants


class Scorer:
    """Applies facts; `clock` is read once a batch, when its contacts are locked."""

    def __init__(self, tenants: Tenants, clock: Clock = utc_now) -> None:
        self._tenants = tenants
        self._weights_of = WeightsOf(tenants)
        self._clock = clock

    async def apply(self, conn: db.Connection, facts: Sequence[Received]) -> None:
        touched = await absorb(conn, facts, self._tenants)
        if not touched:
            return
        members = await rescore.lock(conn, touched)
        await rescore.rescore(conn, touched, members, self._weights_of, now=self._clock())
