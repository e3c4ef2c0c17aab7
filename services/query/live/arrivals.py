"""Lets a reader wait until its own write is applied: `?after=`.

Rule 1: a reader waits for the topics that are consumed here, and 2 seconds at most; then it gets
        what there is, and is told whether that includes its change.
Rule 2: all waiting readers share one look at the store.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from aiohttp import web

from shared import db, lifecycle, positions
from shared.errors import Unavailable
from shared.kafka.offsets import Partition
from shared.observability import AFTER
from shared.openapi import Handler
from shared.positions import HEADER, PENDING, SHOWN, Token
from shared.web import Refused, identity

PATIENCE_S: Final = 2.0
LOOK_S: Final = 0.025
WAITING: Final = 5_000

AWAY_S: Final = 0.25

STATE: Final = web.RequestKey("after", str)
"""Where a request keeps which of the two it is."""

OFFSETS: Final = """
SELECT topic, partition, next_offset
  FROM consumer_offsets
  JOIN unnest($1::text[], $2::int[]) AS asked (topic, partition) USING (topic, partition)
"""

LINKED: Final = """
SELECT company_id, contact_id
  FROM contacts
  JOIN unnest($1::bigint[], $2::uuid[]) AS asked (company_id, contact_id)
       USING (company_id, contact_id)
  JOIN organizations USING (company_id, organization_id)
"""

SCORED: Final = """
SELECT company_id, contact_id,
       coalesce(greatest(extract(epoch FROM last_contacted) * 1000000, 0), 0)::bigint
  FROM contacts
  JOIN unnest($1::bigint[], $2::uuid[]) AS asked (company_id, contact_id)
       USING (company_id, contact_id)
 WHERE score_version > 0
"""


class Contact(NamedTuple):
    company_id: int
    contact_id: UUID


class Stored(NamedTuple):
    """The present values of what waiting readers ask about."""

    offsets: Mapping[Partition, int]
    linked: frozenset[Contact]
    scored: Mapping[Contact, int]
    """When they were last contacted, in microseconds since 1970; 0: never."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """`places` are the offsets that the store must have passed, `linked` the contacts that must
    belong to a known organization, `scored` those that must have a score, based on their having
    been contacted at the given time or later.
    """

    places: Mapping[Partition, int]
    linked: frozenset[Contact]
    scored: Mapping[Contact, int]
    applied: asyncio.Event

    def sees(self, stored: Stored) -> bool:
        are_applied = all(
            stored.offsets.get(place, 0) > offset for place, offset in self.places.items()
        )
        are_scored = all(
            stored.scored.get(contact, -1) >= contacted_us
            for contact, contacted_us in self.scored.items()
        )
        return are_applied and are_scored and self.linked <= stored.linked


class Arrivals:
    """`topics` are those consumed here, by their name in the contract; `prefix` is the
    cluster's.
    """

    def __init__(self, pool: db.Pool, topics: Collection[str], prefix: str) -> None:
        self._pool = pool
        self._topics = topics
        self._prefix = prefix
        self._waiting: set[Waiter] = set()
        self._looking: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def hear(self, _: str) -> None:
        """Something was committed: worth a look before the next is due."""
        self._wake.set()

    def missed(self) -> None:
        """Nothing to do: looks go on by themselves."""

    async def is_applied(self, company_id: int, wanted: Token) -> bool:
        """True once it is; false if it is not in time."""
        places = {
            Partition(self._prefix + topic, partition): offset
            for topic, partition, offset in wanted.positions
            if topic in self._topics
        }
        linked = frozenset(Contact(company_id, contact_id) for contact_id in wanted.linked)
        scored = {
            Contact(company_id, each.contact_id): each.contacted_us for each in wanted.scored
        }
        if not places and not linked and not scored:
            return True
        if len(self._waiting) >= WAITING:
            return False
        waiter = Waiter(places, linked, scored, asyncio.Event())
        self._waiting.add(waiter)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await waiter.applied.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)
        return True

    async def answer_after(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer once what `after` names is applied, or after 2 seconds."""
        company_id = identity(request).company_id
        state = SHOWN if await self.is_applied(company_id, _wanted(request)) else PENDING
        AFTER.labels(state).inc()
        request[STATE] = state
        try:
            response = await handler(request)
        except Refused as refused:
            refused.headers[HEADER] = state
            raise
        if isinstance(response, web.Response):
            response.headers[HEADER] = state
        return response

    async def _look(self) -> None:
        """Runs as long as someone waits."""
        try:
            while self._waiting:
                self._wake.clear()
                wait = LOOK_S
                try:
                    stored = await self._stored()
                except Unavailable:
                    stored, wait = Stored({}, frozenset(), {}), AWAY_S
                for waiter in [each for each in self._waiting if each.sees(stored)]:
                    waiter.applied.set()
                    self._waiting.discard(waiter)
                if self._waiting:
                    await lifecycle.first_of(wait, self._wake)
        finally:
            self._looking = None

    async def _stored(self) -> Stored:
        places = {place for waiter in self._waiting for place in waiter.places}
        contacts = {contact for waiter in self._waiting for contact in waiter.linked}
        scored = {contact for waiter in self._waiting for contact in waiter.scored}
        with db.errors():
            async with db.leased(self._pool, seconds=PATIENCE_S) as conn:
                rows = await conn.fetch(OFFSETS, *db.columns(sorted(places), 2))
                found = (
                    await conn.fetch(LINKED, *db.columns(sorted(contacts), 2)) if contacts else []
                )
                known = await conn.fetch(SCORED, *db.columns(sorted(scored), 2)) if scored else []
        offsets = {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return Stored(
            offsets,
            frozenset(Contact(*row) for row in found),
            {Contact(row[0], row[1]): row[2] for row in known},
        )


def _wanted(request: web.Request) -> Token:
    """Raises:
    Refused: 400, not a token.
    """
    try:
        return positions.decode(request.query.get("after", ""))
    except ValueError as error:
        raise Refused(400, "bad_request", f"'after': {error}.") from error
