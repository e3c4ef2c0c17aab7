"""The scoring API: a contact's score, why it is so, and its history.

Rule: the score is computed from the stored signals at the time of the request, so an answer is
right even before the ticker gets to it; asking changes nothing.
"""

from uuid import UUID

from aiohttp import web

from services.scoring import answers, gathering, history, store
from services.scoring.answers import ContactScore, HistoryQuery, ScoreHistory
from services.scoring.clock import Clock, utc_now
from services.scoring.families import Key
from services.scoring.weighing import Weighing
from shared import db
from shared.openapi import Endpoint, UuidParameter
from shared.tenants import Tenants
from shared.web import Refused, answer, identity, path_uuid, query

REFUSALS = {
    400: "The id or a parameter is malformed",
    404: "No such contact",
    503: "Postgres is unavailable",
}
ID = {"contactId": UuidParameter("the contact's id")}


class Api:
    def __init__(self, pool: db.Pool, tenants: Tenants, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._weighing = Weighing(tenants)
        self._clock = clock

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/api/scores/{contactId}",
                self.score,
                "A contact's score with its components, and when it changes next",
                {200: ContactScore, **REFUSALS},
                path_parameters=ID,
            ),
            Endpoint(
                "GET",
                "/api/scores/{contactId}/history",
                self.history,
                "Every change of a contact's score, with its cause",
                {200: ScoreHistory, **REFUSALS},
                query=HistoryQuery,
                path_parameters=ID,
            ),
        ]

    async def score(self, request: web.Request) -> web.Response:
        asker, contact_id = identity(request), path_uuid(request, "contactId")
        with db.errors():
            async with self._pool.acquire() as conn:
                key = await _find(conn, asker.company_id, contact_id)
                found = await self._explain(conn, key)
        if found is None:
            raise _unknown()
        return answer(found.model_dump(by_alias=True))

    async def history(self, request: web.Request) -> web.Response:
        asker, contact_id = identity(request), path_uuid(request, "contactId")
        asked = query(request, HistoryQuery)
        with db.errors():
            async with self._pool.acquire() as conn:
                key = await _find(conn, asker.company_id, contact_id)
                rows = await history.newest(conn, key, asked.limit + 1, asked.cursor)
        found = answers.score_history(key, rows, asked.limit)
        return answer(found.model_dump(by_alias=True))

    async def _explain(self, conn: db.Connection, key: Key) -> ContactScore | None:
        """Null if the person is deleted."""
        weights = (await self._weighing.of(conn, [key[0]]))[key[0]]
        found = await gathering.signals(conn, [key], keep=weights.activity_cap)
        if key not in found:
            return None
        return answers.contact_score(key, found[key], weights, self._clock())


async def _find(conn: db.Connection, company_id: int, contact_id: UUID) -> Key:
    """Raises:
    Refused: 404, also for what belongs to another company.
    """
    key = await store.person_of(conn, company_id, contact_id)
    if key is None:
        raise _unknown()
    return key


def _unknown() -> Refused:
    return Refused(404, "not_found", "There is no such contact.")
