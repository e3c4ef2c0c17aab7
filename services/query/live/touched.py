"""What a transaction changes on whose pages, by name. Pure.

Rule 1: only names are kept: whoever sends them reads the present state of the contact or
        organization.
Rule 2: an entry holds a limited number of names; beyond that it says only that all may differ.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

import orjson

from services.query.batch import Shown, User

MOST_NAMES: Final = 100
STATUS: Final = '{"s":1}'
"""The entry of a company whose sync status has changed."""


class Seen(NamedTuple):
    """An organization that some of the user's contacts belong to."""

    user: User
    organization_id: UUID
    appears: bool


@dataclass(slots=True)
class Names:
    """`appeared` are organizations that were not shown before: their contacts show them now.

    `status` is the company's; `everything` if there were too many names.
    """

    persons: set[int] = field(default_factory=set)
    organizations: set[UUID] = field(default_factory=set)
    appeared: set[UUID] = field(default_factory=set)
    status: bool = False
    everything: bool = False

    @property
    def count(self) -> int:
        return len(self.persons) + len(self.organizations) + len(self.appeared)

    @property
    def is_too_much(self) -> bool:
        return self.everything or self.count > MOST_NAMES

    def add(self, other: Self) -> None:
        self.persons |= other.persons
        self.organizations |= other.organizations
        self.appeared |= other.appeared
        self.status |= other.status
        self.everything |= other.everything

    def dump(self) -> str:
        if self.is_too_much:
            return "{}"
        said: dict[str, list[Any]] = {
            "p": sorted(self.persons),
            "o": sorted(map(str, self.organizations)),
            "a": sorted(map(str, self.appeared)),
        }
        return orjson.dumps({name: ids for name, ids in said.items() if ids}).decode()


def parse(entry: str) -> Names:
    """The names that `dump` wrote."""
    said = orjson.loads(entry)
    if not said:
        return Names(everything=True)
    return Names(
        set(said.get("p", ())),
        {UUID(each) for each in said.get("o", ())},
        {UUID(each) for each in said.get("a", ())},
        bool(said.get("s")),
    )


def by_user(contacts: Iterable[Shown], organizations: Iterable[Seen]) -> dict[User, Names]:
    names: defaultdict[User, Names] = defaultdict(Names)
    for user, key in contacts:
        names[user].persons.add(key.number)
    for seen in organizations:
        of_user = names[seen.user]
        (of_user.appeared if seen.appears else of_user.organizations).add(seen.organization_id)
    return dict(names)
