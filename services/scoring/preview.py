"""What other weights would do to a company's contacts, computed without changing anything.

Rule 1: both scores come from the same signals at the same instant, so only the weights make a
        difference.
Rule 2: contacts are read in the order of their ids, which are hashes: if time runs out, those read
        so far are a fair sample.
Rule 3: events have priority: every batch is short, and holds no lock.
"""

import asyncio
import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.scoring import gathering
from services.scoring.families import Key
from services.scoring.score import Score, score
from services.scoring.weights import Weights
from shared import db

BANDS = ("0-3", "4-6", "7-10")
LAST_OF_BAND = (3, 6)
BATCH = 100
LARGEST = 20
LONGEST_S = 10.0
FIRST_ID = UUID(int=0)

ALL_CONTACTS = "SELECT count(*) FROM contacts WHERE company_id = $1 AND score IS NOT NULL"

NEXT_CONTACTS = """
SELECT person_id, contact_id
  FROM contacts
 WHERE company_id = $1 AND contact_id > $2 AND score IS NOT NULL
 ORDER BY contact_id
 LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Move:
    key: Key
    old: Score
    new: Score

    @property
    def distance(self) -> int:
        return abs(self.new.value - self.old.value)


@dataclass(slots=True)
class Comparison:
    """`matrix` counts contacts by band, rows before and columns after."""

    contacts: int = 0
    looked_at: int = 0
    changed: int = 0
    matrix: list[list[int]] = field(default_factory=lambda: [[0] * 3 for _ in BANDS])
    _largest: list[tuple[int, int, Move]] = field(default_factory=list)

    def add(self, key: Key, old: Score, new: Score) -> None:
        self.looked_at += 1
        self.matrix[band(old.value)][band(new.value)] += 1
        if old.value == new.value:
            return
        self.changed += 1
        move = Move(key, old, new)
        entry = (move.distance, -self.looked_at, move)
        if len(self._largest) < LARGEST:
            heapq.heappush(self._largest, entry)
        elif entry > self._largest[0]:
            heapq.heapreplace(self._largest, entry)

    @property
    def is_sampled(self) -> bool:
        return self.looked_at < self.contacts

    @property
    def change_band(self) -> int:
        whole = sum(map(sum, self.matrix))
        return whole - sum(self.matrix[each][each] for each in range(len(BANDS)))

    @property
    def largest(self) -> Sequence[Move]:
        """The largest moves, largest first."""
        return [move for _, _, move in sorted(self._largest, reverse=True)]


def band(value: int) -> int:
    return sum(value > last for last in LAST_OF_BAND)


async def compare(
    pool: db.Pool,
    company_id: int,
    old: Weights,
    new: Weights,
    *,
    now: datetime,
    longest_s: float = LONGEST_S,
) -> Comparison:
    """All contacts, or as many as `longest_s` allows."""
    comparison = Comparison()
    keep = max(old.activity_cap, new.activity_cap)
    ends = time.monotonic() + longest_s
    after = FIRST_ID
    with db.errors():
        comparison.contacts = await pool.fetchval(ALL_CONTACTS, company_id)
        while not comparison.looked_at or time.monotonic() < ends:
            async with pool.acquire() as conn:
                rows = await conn.fetch(NEXT_CONTACTS, company_id, after, BATCH)
                if not rows:
                    comparison.contacts = comparison.looked_at
                    break
                after = rows[-1]["contact_id"]
                keys = [(company_id, row["person_id"]) for row in rows]
                found = await gathering.signals(conn, keys, keep=keep)
            for key, each in found.items():
                comparison.add(key, score(each, old, now=now), score(each, new, now=now))
            await asyncio.sleep(0)
    return comparison
