"""Picks the best hits, in order, and counts them all.

Rule 1: only the best classes are examined, as far as the page needs; of a large class only the
        first buckets of the list, and what moved since it was put into one.
Rule 2: where buckets do not help, many slots are found by walking the list in its order; only if
        its beginning has too few of them are all of the user's slots examined.
Rule 3: a total is exact, or marked as not exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.query.batch import User
from services.query.request import Filters
from services.query.searching import bits, hits_store
from services.query.searching.bits import EMPTY, Bits
from services.query.searching.buckets import Buckets, wanted
from services.query.searching.hits_store import Hit
from services.query.searching.lookup_store import ListKey
from services.query.searching.ranking import Class
from shared.db import Connection

MOST_TOGETHER: Final = 500
LOOKED_UP: Final = 1_000
MOST_LOOKED_UP: Final = 20_000
WALKING: Final = 2
"""Cost of a row that is walked over, in rows that are looked up."""
MOST_COUNTED: Final = 5_000
SAMPLE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Picked:
    hits: Sequence[Hit]
    total: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Picker:
    """For one search; `size` is the number of assigned slots."""

    conn: Connection
    user: User
    filters: Filters
    size: int
    buckets: Buckets

    async def best(self, classes: Sequence[Class], most: int) -> Picked:
        hits: list[Hit] = []
        for group in _groups(classes):
            if len(hits) >= most:
                break
            missing = most - len(hits)
            if len(group) > 1:
                hits += await self._together(group, missing)
            else:
                places = await self._of_class(group[0].slots, missing)
                hits += [Hit(group[0].rank, place) for place in places]
        total, is_exact = await self._total(union(classes))
        return Picked(hits, total, is_exact)

    async def _together(self, classes: Sequence[Class], most: int) -> list[Hit]:
        slots: list[int] = []
        ranks: list[int] = []
        for each in classes:
            found = each.slots.numbers()
            slots += found
            ranks += [each.rank] * len(found)
        return await hits_store.ranked(self.conn, self.user, (slots, ranks), self.filters, most)

    async def _of_class(self, slots: Bits, most: int) -> Sequence[ListKey]:
        if slots.count() > LOOKED_UP and self.buckets.is_known:
            slots = await self._first_buckets(slots, most)
        several = slots.count()
        rows = 2 * most * self.size // max(1, several) + 200
        if several > max(MOST_COUNTED, rows * WALKING):
            packed = slots.packed()
            places = await hits_store.walked(self.conn, self.user, packed, self.filters, rows)
            if len(places) < most and several > MOST_LOOKED_UP:
                places = await hits_store.scanned(self.conn, self.user, packed, self.filters, most)
            if len(places) >= most or several > MOST_LOOKED_UP:
                return places[:most]
        found = slots.numbers()
        return await hits_store.placed(self.conn, self.user, found, self.filters, most)

    async def _first_buckets(self, slots: Bits, most: int) -> Bits:
        """Slots that certainly include the first `most`."""
        moved = slots & self.buckets.moved
        sure = EMPTY
        for number in wanted(self.filters):
            sure |= slots & await self.buckets.slots(number)
            if sure.count() >= most:
                break
        return sure | moved

    async def _total(self, slots: Bits) -> tuple[int, bool]:
        if self.filters.scores == Filters().scores and self.filters.in_campaign is None:
            return slots.count(), True
        if slots.count() > MOST_COUNTED and self.buckets.is_known:
            total = 0
            for number in wanted(self.filters):
                total += (slots & await self.buckets.slots(number)).count()
            return total + await self._passing((slots & self.buckets.moved).numbers()), True
        found = sample(slots)
        passing = await self._passing(found)
        several = slots.count()
        return round(passing * several / max(1, len(found))), len(found) == several

    async def _passing(self, slots: Sequence[int]) -> int:
        if not slots:
            return 0
        counted = await hits_store.facets(self.conn, self.user, slots, self.filters)
        passing: int = counted["in_campaign"] + counted["out_of_campaign"]
        return passing


def union(classes: Iterable[Class]) -> Bits:
    return bits.union(each.slots for each in classes)


def _groups(classes: Sequence[Class]) -> list[list[Class]]:
    """Adjacent ranks that can be looked up together."""
    groups: list[list[Class]] = []
    room = 0
    for each in classes:
        found = each.slots.count()
        if found > room:
            groups.append([])
            room = MOST_TOGETHER
        groups[-1].append(each)
        room -= found
    return groups


def sample(slots: Bits) -> list[int]:
    """All of them, or an evenly spread sample."""
    several = slots.count()
    return slots.numbers(every=1 if several <= MOST_COUNTED else -(-several // SAMPLE))
