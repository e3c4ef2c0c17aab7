"""From the slots that have each token at each level to the slots found at each rank. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Levels = Mapping[int, int]
"""Slots, as bits, by level; one slot may stand at several."""


class Class(NamedTuple):
    """All that is found equally well."""

    rank: int
    slots: int


def best(levels: Levels) -> dict[int, int]:
    """Each slot at its best level alone."""
    seen = 0
    found: dict[int, int] = {}
    for level in sorted(levels):
        fresh = levels[level] & ~seen
        if fresh:
            found[level] = fresh
            seen |= fresh
    return found


def everyone(levels: Levels) -> int:
    found = 0
    for slots in levels.values():
        found |= slots
    return found


def classes(tokens: Sequence[Levels]) -> list[Class]:
    """The slots that have every token, by the sum of their levels."""
    if not tokens:
        return []
    sums = best(tokens[0])
    for levels in tokens[1:]:
        ahead = best(levels)
        following: dict[int, int] = {}
        for rank, slots in sums.items():
            for level, having in ahead.items():
                both = slots & having
                if both:
                    following[rank + level] = following.get(rank + level, 0) | both
        sums = following
    return [Class(rank, sums[rank]) for rank in sorted(sums)]


def shared_by(groups: Sequence[int], least: int) -> int:
    """The bits set in at least so many of the numbers: added up bit by bit, all at once."""
    if least <= 0 or least > len(groups):
        return 0
    reached = [0] * (least + 1)  # reached[n]: set in n or more of those seen
    for group in groups:
        for number in range(least, 1, -1):
            reached[number] |= reached[number - 1] & group
        reached[1] |= group
    return reached[least]
