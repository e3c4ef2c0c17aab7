"""The weights API: what is in force, earlier decisions, and new ones.

Rule: any user of the company may read; only its admins may decide or preview.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from services.scoring import preview, rescoring_store, weighing, weights_answers
from services.scoring.clock import Clock, utc_now
from services.scoring.deciding import Decider
from services.scoring.weighing import Weighing
from services.scoring.weights import Weights
from services.scoring.weights_answers import (
    WantedHow,
    WantedWeights,
    WeightsHistory,
    WeightsHistoryQuery,
    WeightsInForce,
    WeightsPreview,
)
from shared import db
from shared.auth import Identity
from shared.kafka.publisher import Publisher
from shared.openapi import Endpoint
from shared.tenants import Tenants
from shared.web import RETRY_AFTER_S, Refused, answer, body, identity, query

PATH = "/api/scoring/weights"
LONGEST_WAIT_S = preview.LONGEST_S
LOOKING = {503: "Postgres is unavailable"}
DECIDING = {
    400: "The body is not as described, or the weights contradict themselves",
    403: "Only an admin of the company may set the weights",
    409: "These weights are already in force",
    503: "Kafka or Postgres is unavailable, and the decision may still take effect; or too many "
    "previews of weights are running",
}


class WeightsApi:
    def __init__(
        self, pool: db.Pool, tenants: Tenants, publisher: Publisher, clock: Clock = utc_now
    ) -> None:
        self._pool = pool
        self._weighing = Weighing(tenants)
        self._decider = Decider(pool, publisher, clock)
        self._clock = clock
        self._previewing = asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                PATH,
                self.weights_in_force,
                "The current weights, the defaults, and the progress of rescoring",
                {200: WeightsInForce, **LOOKING},
            ),
            Endpoint(
                "POST",
                PATH,
                self.decide_weights,
                "Change the weights; with dryRun, only show what would change",
                {200: WeightsPreview, 201: WeightsInForce, **LOOKING, **DECIDING},
                query=WantedHow,
                body=WantedWeights,
            ),
            Endpoint(
                "GET",
                f"{PATH}/history",
                self.weights_history,
                "All changes of the weights: who, when and why",
                {200: WeightsHistory, 400: "A parameter is malformed", **LOOKING},
                query=WeightsHistoryQuery,
            ),
        ]

    async def weights_in_force(self, request: web.Request) -> web.Response:
        return answer(await self._in_force(identity(request).company_id))

    async def decide_weights(self, request: web.Request) -> web.Response:
        asker = _admin(request)
        how = query(request, WantedHow)
        wanted = await body(request, WantedWeights)
        if how.dry_run:
            return answer(await self._preview(asker.company_id, wanted))
        await self._decider.decide(asker, wanted)
        return answer(await self._in_force(asker.company_id), status=201)

    async def weights_history(self, request: web.Request) -> web.Response:
        company_id = identity(request).company_id
        asked = query(request, WeightsHistoryQuery)
        before = asked.before or weighing.ALL
        with db.errors():
            async with self._pool.acquire() as conn:
                rows = await weighing.decisions(
                    conn, company_id, limit=asked.limit + 1, before=before
                )
        shown = [weights_answers.decision(row) for row in rows[: asked.limit]]
        more = len(rows) > asked.limit
        found = WeightsHistory(decisions=shown, next_before=shown[-1].version if more else None)
        return answer(found.model_dump(by_alias=True))

    async def _in_force(self, company_id: int) -> dict[str, object]:
        with db.errors():
            async with self._pool.acquire() as conn:
                weights = await self._weights(conn, company_id)
                rows = await weighing.decisions(conn, company_id, limit=1)
                progress = await rescoring_store.progress(conn, company_id)
        decided = weights_answers.decision(rows[0]) if rows else None
        found = weights_answers.in_force(decided, weights.rates, progress)
        return found.model_dump(by_alias=True)

    async def _preview(self, company_id: int, wanted: WantedWeights) -> dict[str, object]:
        async with self._turn():
            with db.errors():
                async with self._pool.acquire() as conn:
                    old = await self._weights(conn, company_id)
            new = wanted.weights.weights(old.version + 1, old.rates)
            comparison = await preview.compare(self._pool, company_id, old, new, now=self._clock())
        return weights_answers.preview(comparison).model_dump(by_alias=True)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One preview at a time, over all companies: several would take CPU time from events.
        There is no long queue.

        Raises:
            Refused: 503, the wait would be long.
        """
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await self._previewing.acquire()
        except TimeoutError as late:
            sentence = "Too many previews of weights are running. Try again soon."
            raise Refused(503, "busy", sentence, Retry_After=RETRY_AFTER_S) from late
        try:
            yield
        finally:
            self._previewing.release()

    async def _weights(self, conn: db.Connection, company_id: int) -> Weights:
        return (await self._weighing.of(conn, [company_id]))[company_id]


def _admin(request: web.Request) -> Identity:
    """Raises:
    Refused: 401, 403.
    """
    asker = identity(request)
    if not asker.is_admin:
        raise Refused(403, "forbidden", "Only an admin of the company may set the weights.")
    return asker
