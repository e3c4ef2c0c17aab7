"""The list's coarse order in terms of slots: a bucket per campaign side and score.

Rule 1: a slot that moved since it was indexed counts for no bucket: it is in `moved`, and its
        place is read where needed.
Rule 2: buckets are read on first use, neighbours together.
"""

from dataclasses import dataclass, field
from typing import Final, Self

from services.query.batch import User
from services.query.request import Filters
from services.query.searching import bitmaps, lookup_store, terms
from services.query.searching.bits import Bits
from services.query.searching.lookup import MOST_MOVED, Found
from services.query.searching.lookup_store import Wanted
from shared.db import Connection

TOGETHER: Final = 4


@dataclass(slots=True)
class Buckets:
    """`is_known` unless so much moved that the order has to be read from the slots themselves."""

    conn: Connection
    user: User
    size: int
    is_known: bool
    moved: Bits
    _read: dict[int, Bits] = field(default_factory=dict)

    @classmethod
    def of(cls, conn: Connection, user: User, found: Found) -> Self:
        moved = found.state.moved
        slots = Bits.of(moved, found.size)
        return cls(conn, user, found.size, len(moved) < MOST_MOVED, slots)

    async def slots(self, number: int) -> Bits:
        if number not in self._read:
            await self._fetch([n for n in terms.BUCKETS if n // TOGETHER == number // TOGETHER])
        return self._read[number]

    async def _fetch(self, numbers: list[int]) -> None:
        kind = int(terms.Kind.BUCKET)
        found = await lookup_store.postings(
            self.conn, self.user, {n: [Wanted(terms.bucket(n)[0], kind, kind)] for n in numbers}
        )
        for number in numbers:
            self._read[number] = bitmaps.joined(found[number, kind], self.size) - self.moved


def wanted(filters: Filters) -> list[int]:
    """The buckets that pass the filters, in the order of the list."""
    low, high = filters.scores
    return [
        number
        for number in terms.BUCKETS
        if low <= number % terms.SCORES <= high
        and filters.in_campaign in (None, number < terms.SCORES)
    ]
