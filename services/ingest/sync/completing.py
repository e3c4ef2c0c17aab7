"""Fetches what webhooks left out of rows that changed, a hundred rows a call.

Rule 1: only rows that changed by a webhook without those fields are fetched.
Rule 2: a company whose REST rows have none of the fields either, for a hundred rows in succession,
        is left alone until the next day: job titles, for one, exist only with contact sync.
Rule 3: a sync of the company in progress reads them anyway; so does the next delta, which
        also covers the rows that cannot be fetched: those of a company that is not connected, a
        row for which Pipedrive answers "bad request", rows that are not returned in some rounds,
        and, until the next day or another token, all of a list that is refused.
Rule 4: where a row has an option without a known name, the names are read first, but once an hour
        at most: a deleted option no longer has one.
Rule 5: some companies at a time, so that one whose Pipedrive is silent keeps no other waiting.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from services.ingest import fields
from services.ingest.payload import Json
from services.ingest.sync import comparing, known_store, lists, option_store, options
from services.ingest.sync.asking import MOST_IDS
from services.ingest.sync.claim import claimed
from services.ingest.sync.comparing import Rows
from services.ingest.sync.hearing import LEFT_OUT
from services.ingest.sync.lists import List
from services.ingest.sync.running import Parts
from shared import db, heart, lifecycle
from shared.errors import Poison, Unavailable
from shared.pipedrive.budget import Purpose
from shared.pipedrive.client import Credential, Pipedrive
from shared.pipedrive.errors import NotConnected, PipedriveRefused, Unanswered

log = logging.getLogger(__name__)

A_DAY_S: Final = 86_400.0
AN_HOUR_S: Final = 3_600.0
ENOUGH: Final = 100
"""Rows without any of the fields until we believe that there are none."""
ASKED_WRONGLY: Final = 400
"""Pipedrive's answer for all rows requested together, though only one may be the cause."""
ROUNDS: Final = 5
"""Without an answer, until rows are left to the next delta: they may be too many, or too large,
for Pipedrive at a time, and each round costs as much as their page.
"""
AT_ONCE: Final = 4
"""Companies that one process completes at a time; each takes a connection."""
COMPANIES = """
SELECT company_id, array_agg(DISTINCT entity) AS entities
  FROM incomplete
 GROUP BY company_id
 ORDER BY company_id DESC
"""

Whose = tuple[int, str, Credential]
"""A company's rows of one entity, as one token sees them."""


class Hope:
    """Whether to go on fetching (rules 2 and 3). `now` is the monotonic clock's."""

    def __init__(self) -> None:
        self._in_vain: dict[Whose, int] = {}
        self._gone_until: dict[Whose, float] = {}
        self._silent: dict[Whose, int] = {}

    def is_there(self, whose: Whose, *, now: float) -> bool:
        return now >= self._gone_until.get(whose, now)

    def learn(self, whose: Whose, have_more: Sequence[bool], *, now: float) -> None:
        self._silent.pop(whose, None)
        in_vain = 0 if any(have_more) else self._in_vain.get(whose, 0) + len(have_more)
        if in_vain >= ENOUGH:
            self.give_up(whose, now=now)
            in_vain = 0
        self._in_vain[whose] = in_vain

    def waits(self, whose: Whose) -> bool:
        """After a round without an answer: whether the same rows are to be fetched in the next."""
        self._silent[whose] = (self._silent.get(whose, 0) + 1) % ROUNDS
        return self._silent[whose] > 0

    def give_up(self, whose: Whose, *, now: float) -> None:
        self._gone_until[whose] = now + A_DAY_S


class Completer:
    def __init__(self, parts: Parts, pool: db.Pool) -> None:
        self._parts = parts
        self._pool = pool
        self._hope = Hope()
        self._names_read: dict[tuple[int, str], float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        every_s = self._parts.settings.sync_complete_seconds
        if not every_s:
            await lifecycle.idle(stop)
        while not await lifecycle.wait_or_stop(every_s, stop):
            await lifecycle.persist(lambda: self._round(stop), stop, what="completing")

    async def _round(self, stop: asyncio.Event) -> None:
        with db.errors():
            waiting = await self._pool.fetch(COMPANIES)

        async def complete(stop: asyncio.Event) -> None:
            while waiting and not stop.is_set():
                heart.beat()
                await self._of(*waiting.pop())

        await lifecycle.together([complete] * min(AT_ONCE, len(waiting)), stop)

    async def _of(self, company_id: int, entities: Sequence[str]) -> None:
        try:
            for entity in entities:
                await self._complete(company_id, lists.OF_ENTITY[entity])
        except Unavailable as outage:
            log.info("completing_failed", extra={"reason": str(outage)})

    async def _complete(self, company_id: int, of: List) -> None:
        async with claimed(self._parts.dsn, company_id) as conn:
            if conn is None:
                return
            while True:
                heart.beat()
                with db.errors():
                    places = await known_store.incomplete(conn, company_id, of.entity, MOST_IDS)
                if not places:
                    return
                done = set(places) - await self._asked(conn, company_id, of, places)
                with db.errors():
                    await known_store.completed(conn, company_id, of.entity, sorted(done))
                if len(done) < MOST_IDS:
                    return

    async def _asked(
        self, conn: db.Connection, company_id: int, of: List, places: list[bytes]
    ) -> set[bytes]:
        """The rows to be read again, without those that are left to the next delta."""
        whose = self._whose(company_id, of)
        if whose is None:
            return set()
        try:
            return await self._fetch(conn, whose, of, places)
        except Unanswered:
            if self._hope.waits(whose):
                raise
            return set()
        except (PipedriveRefused, Poison) as why:
            log.warning(
                "completing_given_up",
                extra={"company_id": company_id, "list": of.name, "reason": str(why)},
            )
            self._hope.give_up(whose, now=time.monotonic())
            return set()

    def _whose(self, company_id: int, of: List) -> Whose | None:
        """Null if the company is not connected."""
        try:
            return company_id, of.entity, self._parts.clients.credential(company_id)
        except NotConnected:
            return None

    async def _fetch(
        self, conn: db.Connection, whose: Whose, of: List, places: list[bytes]
    ) -> set[bytes]:
        """The rows to be read again. If one cannot be requested, the others still are."""
        heart.beat()
        if not self._hope.is_there(whose, now=time.monotonic()):
            return set()
        try:
            return await self._read(conn, whose, of, places)
        except PipedriveRefused as refused:
            if refused.status != ASKED_WRONGLY:
                raise
        if len(places) == 1:
            self._hope.learn(whose, [False], now=time.monotonic())
            return set()
        half = len(places) // 2
        first = await self._fetch(conn, whose, of, places[:half])
        return first | await self._fetch(conn, whose, of, places[half:])

    async def _read(
        self, conn: db.Connection, whose: Whose, of: List, places: list[bytes]
    ) -> set[bytes]:
        """The rows to be read again: they may still change within their second."""
        company_id = whose[0]
        client = self._parts.clients.of(company_id, Purpose.SYNC)
        ids = [lists.entity_id(place, is_number=True) for place in places]
        asked_at = datetime.now(UTC)
        page = await client.page(of.path, {"ids": ids, "limit": MOST_IDS})
        await self._learn_names(conn, client, of, page.rows)
        have_more = [_has_more(of, row) for row in page.rows]
        self._hope.learn(whose, have_more, now=time.monotonic())
        with db.errors():
            found = await comparing.compare(conn, company_id, Rows(of, page.rows, asked_at))
        if found.records:
            await self._parts.publisher.publish(found.records)
        with db.errors():
            await known_store.keep(conn, company_id, of.entity, found.known)
        return {of.place(each) for each in found.unsettled}

    async def _learn_names(
        self, conn: db.Connection, client: Pipedrive, of: List, rows: Sequence[Json]
    ) -> None:
        whose = (client.company_id, of.entity)
        if time.monotonic() < self._names_read.get(whose, -AN_HOUR_S) + AN_HOUR_S:
            return
        with db.errors():
            known = await option_store.names(conn, *whose)
        if not options.are_unnamed(of.entity, rows, known):
            return
        try:
            await _read_names(conn, client, lists.FIELDS_OF[of.entity])
        except PipedriveRefused as refused:  # the rest can still be completed
            log.info("completing_failed", extra={"reason": refused.sentence})
        self._names_read[whose] = time.monotonic()


async def _read_names(conn: db.Connection, client: Pipedrive, of: List) -> None:
    async with aclosing(client.pages(of.path, key=of.key)) as pages:
        async for page in pages:
            found = list(options.listed(of, page.rows))
            with db.errors():
                await option_store.keep(conn, client.company_id, found)


def _has_more(of: List, row: dict[str, Any]) -> bool:
    return not LEFT_OUT[of.entity].isdisjoint(fields.read(of.entity, row))
