"""What one batch changes beyond its own rows, collected so that each is settled once. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from services.orgs.folding import Key
from services.orgs.grouping import Shown

OrgKey = tuple[int, UUID]
"""Tenant, and the id of an organization or a record in it."""


class Move(NamedTuple):
    """A contact left an organization, or joined one, or both."""

    company_id: int
    person_id: int
    left: UUID | None
    joined: UUID | None
    published: int


@dataclass(slots=True)
class Effects:
    """`now_us` is the lowest version that this batch publishes; `vacant` are ids that no living
    organization has, with where they lead, if the batch alone determines it; `called` are the
    names of all records of those in `shown`.
    """

    now_us: int
    links: dict[Key, Move] = field(default_factory=dict)
    counts: Counter[OrgKey] = field(default_factory=Counter)
    touched: set[OrgKey] = field(default_factory=set)
    shown: dict[OrgKey, Shown] = field(default_factory=dict)
    called: dict[OrgKey, frozenset[str]] = field(default_factory=dict)
    vacant: dict[OrgKey, UUID | None] = field(default_factory=dict)
    stale_contacts: set[Key] = field(default_factory=set)
    stale_records: set[Key] = field(default_factory=set)

    def moved(self, moves: Iterable[Move]) -> None:
        """Note moves in the order they happened; a contact that came back has not moved."""
        for move in moves:
            key = (move.company_id, move.person_id)
            first = self.links.get(key, move)
            self.links[key] = Move(*key, first.left, move.joined, move.published)
            if move.left is not None:
                self.counts[move.company_id, move.left] -= 1
            if move.joined is not None:
                self.counts[move.company_id, move.joined] += 1

    def concerned(self) -> set[OrgKey]:
        """Every id whose organization may look different now."""
        return {*self.counts, *self.touched, *self.shown, *self.vacant}
