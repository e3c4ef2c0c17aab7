"""Builds a user's index from scratch, in one pass over the contacts.

Rule 1: the contacts come from one statement, so from one instant; later changes are queued.
Rule 2: slots are assigned in list order, and a chunk's postings are collected when its last slot
        is known: memory holds one chunk. At the end they are written once, term by term, each in
        the form that fits its number of slots (see `bitmaps`).
Rule 3: words are counted from the collected postings, and numbered alphabetically.
Rule 4: between chunks it pauses, for a configurable multiple of the time it worked.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.searching import building_store, terms
from services.query.searching.bits import CHUNK
from services.query.searching.building_store import LONGEST_S
from services.query.searching.terms import Document, Kind, Term, bucket_of
from shared import heart
from shared.db import Connection
from shared.observability import SEARCH_INDEXED

PIECE: Final = 100
"""Rows between two yields to the event loop."""


class Stopped(Exception):
    """The process is stopping: nothing was built."""


@dataclass(slots=True)
class Build:
    """In the caller's transaction, which holds the user's index."""

    conn: Connection
    user: User
    rest: float
    is_stopped: Callable[[], bool]
    names: dict[UUID, str | None] = field(default_factory=dict)

    async def run(self) -> None:
        """Raises:
        Stopped: roll back.
        """
        await building_store.prepare(self.conn)
        await building_store.forget(self.conn, self.user)
        slots = 0
        async for rows in self._read(building_store.CONTACTS):
            await self._paced(self._contacts(slots // CHUNK, rows))
            slots += len(rows)
            SEARCH_INDEXED.inc(len(rows))
        await building_store.add_names(self.conn, self.user, self.names)
        await building_store.count_words(self.conn, self.user)
        words = 0
        async for rows in self._read(building_store.WORDS):
            await self._paced(self._words(words // CHUNK, rows))
            words += len(rows)
        for kind in Kind:
            heart.beat(LONGEST_S)
            await self._paced(building_store.add_postings(self.conn, self.user, kind))
        await building_store.analyze(self.conn, slots)
        await building_store.built(self.conn, self.user, slots, words)

    async def _read(self, statement: str) -> AsyncIterator[list[asyncpg.Record]]:
        """Rows, one chunk at a time."""
        heart.beat(LONGEST_S)
        cursor = await self.conn.cursor(statement, *self.user)
        while rows := await cursor.fetch(CHUNK, timeout=LONGEST_S):
            heart.beat(LONGEST_S)
            yield rows

    async def _paced(self, work: Any) -> None:
        began = time.monotonic()
        await work
        if self.is_stopped():
            raise Stopped
        await asyncio.sleep((time.monotonic() - began) * self.rest)

    async def _contacts(self, chunk: int, rows: list[asyncpg.Record]) -> None:
        places: defaultdict[Term, list[int]] = defaultdict(list)
        slots: list[tuple[Any, ...]] = []
        documents: list[tuple[Any, ...]] = []
        for place, row in enumerate(rows):
            contact_id, name, email, phone, organization_id, organization_name, *order = row
            if organization_id is not None:
                self.names[organization_id] = organization_name
            document = Document(name, email, phone, organization_id)
            bucket = bucket_of(not_in_campaign=order[0], score=order[1])
            for term in terms.of_contact(document, organization_name):
                places[term].append(place)
            places[terms.bucket(bucket)].append(place)
            slot = chunk * CHUNK + place
            slots.append((*self.user, slot, contact_id, *order))
            documents.append((*self.user, slot, *document, bucket))
            if place % PIECE == PIECE - 1:
                await asyncio.sleep(0)
        await building_store.add_slots(self.conn, slots)
        await building_store.add_documents(self.conn, documents)
        await building_store.gather_postings(self.conn, chunk, places)

    async def _words(self, chunk: int, rows: Iterable[asyncpg.Record]) -> None:
        places: defaultdict[Term, list[int]] = defaultdict(list)
        for place, (word,) in enumerate(rows):
            for term in terms.of_word(word):
                places[term].append(place)
            if place % PIECE == PIECE - 1:
                await asyncio.sleep(0)
        await building_store.gather_postings(self.conn, chunk, places)
