"""Which contact a person counts for after merges. Pure.

Rule 1: a deleted person that was merged leads to the one it was merged into, through chains, up to
        a person that was not merged away: the contact that counts for all of them.
Rule 2: circular merges end at the smallest id, never in a loop.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Key: TypeAlias = tuple[int, int]
"""Company and person."""


def root(person: Key, merged: Mapping[Key, Key]) -> Key:
    if person not in merged:
        return person
    path = [person]
    places = {person: 0}
    while (onward := merged.get(path[-1])) is not None:
        if onward in places:
            return min(path[places[onward] :])
        places[onward] = len(path)
        path.append(onward)
    return path[-1]


def families(persons: Iterable[Key], merged: Mapping[Key, Key]) -> dict[Key, list[Key]]:
    """The contacts that the persons count for, each with all its persons."""
    roots = {person: root(person, merged) for person in persons}
    found: dict[Key, list[Key]] = defaultdict(list)
    for person in sorted(roots.keys() | merged.keys() | set(merged.values())):
        found[roots.get(person) or root(person, merged)].append(person)
    return {each: found[each] for each in sorted(set(roots.values()))}
