"""How a batch moves the counters of activities and organizations. Pure.

Rule 1: an activity counts for the user whose contact shows it: the owner of its person, or of the
        one the person was merged into; for nobody if that one is on no list.
Rule 2: whoever becomes a contact's owner gets all its activities, from this batch or older.
Rule 3: an activity belongs to the week of its due date, else of the day it was added.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from services.query.batch import User, shown_as
from services.query.contact import UNKNOWN, Contact, Key
from shared.register import Register

NO_WEEK: Final = date.min
"""For an activity without any date; the driver writes it as -infinity."""

LONGEST_TYPE: Final = 100


class Tally(NamedTuple):
    """The key of `user_activities`. `week` is a Monday."""

    company_id: int
    owner_id: int
    week: date
    type: str
    done: bool


class Kind(NamedTuple):
    """The properties of an activity that decide where it counts."""

    due_date: date | None
    add_time: datetime | None
    type: str | None
    done: bool | None

    def tally(self, company_id: int, owner_id: int) -> Tally:
        kind = (self.type or "")[:LONGEST_TYPE]
        return Tally(company_id, owner_id, self.week, kind, bool(self.done))

    @property
    def week(self) -> date:
        day = self.due_date
        if day is None and self.add_time is not None:
            day = self.add_time.astimezone(UTC).date()
        return monday(day) if day is not None else NO_WEEK


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


class Held(NamedTuple):
    """An activity as stored; `root` is the moved person whose owner it counts for."""

    root: Key
    kind: Kind


@dataclass(frozen=True, slots=True)
class Transfer:
    """`roots` are the persons whose activities change owners; `touched` those that they, or
    others, were merged into or out of: a chain of merges is followed up to the first of these.
    """

    roots: Mapping[Key, tuple[int | None, int | None]]
    touched: frozenset[Key]


def owner_of(rows: Mapping[Key, Contact], key: Key) -> int | None:
    """Whose contact shows the person's activities."""
    row = rows.get(key)
    if row is not None and row.merged_into is not None:
        *_, last = shown_as(rows, key)
        row = rows.get(last)
    return row.owner if row is not None else None


def transfer(before: Mapping[Key, Contact], after: Mapping[Key, Contact]) -> Transfer:
    touched = frozenset(
        key for key, row in after.items() if _place(row) != _place(before.get(key, UNKNOWN))
    )
    whole = {**before, **after}
    owners = {key: (owner_of(before, key), owner_of(whole, key)) for key in touched}
    return Transfer({key: pair for key, pair in owners.items() if pair[0] != pair[1]}, touched)


def _place(row: Contact) -> tuple[int | None, int | None]:
    return row.owner, row.merged_into


def handed_over(transfer: Transfer, held: Iterable[Held]) -> Counter[Tally]:
    """Stored activities of the transferred persons move from one owner to the other."""
    moves: Counter[Tally] = Counter()
    for root, kind in held:
        was, now = transfer.roots[root]
        if was is not None:
            moves[kind.tally(root.company_id, was)] -= 1
        if now is not None:
            moves[kind.tally(root.company_id, now)] += 1
    return moves


def told(
    contacts: Mapping[Key, Contact],
    before: Mapping[Key, Register],
    after: Mapping[Key, Register],
) -> Counter[Tally]:
    """The moves for the batch's activities; `contacts` are in their state after it."""
    moves: Counter[Tally] = Counter()
    for key, row in after.items():
        was = before.get(key)
        if was is not None:
            _count(moves, contacts, key, was, -1)
        _count(moves, contacts, key, row, 1)
    return moves


def _count(
    moves: Counter[Tally], contacts: Mapping[Key, Contact], key: Key, row: Register, by: int
) -> None:
    fields = row.fields
    person_id = fields["person_id"]
    if row.deleted or person_id is None:
        return
    owner = owner_of(contacts, Key(key.company_id, person_id))
    if owner is not None:
        kind = Kind(fields["due_date"], fields["add_time"], fields["type"], fields["done"])
        moves[kind.tally(key.company_id, owner)] += by


@dataclass(slots=True)
class Totals:
    """Changes to a user's totals."""

    organizations: int = 0
    linked: int = 0


class ShareMove(NamedTuple):
    """A row of `user_organizations`, before and after."""

    user: User
    had: int
    has: int
    was_living: bool
    is_living: bool


def totals(moves: Iterable[ShareMove]) -> dict[User, Totals]:
    found: dict[User, Totals] = {}
    for move in moves:
        had = move.had if move.was_living else 0
        has = move.has if move.is_living else 0
        of_user = found.setdefault(move.user, Totals())
        of_user.organizations += (has > 0) - (had > 0)
        of_user.linked += has - had
    return found
