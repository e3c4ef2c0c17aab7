"""From the slots that have each token at each level to the slots found at each rank. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.query.searching import bits
from services.query.searching.bits import EMPTY, Bits

Levels = Mapping[int, Bits]
"""Slots by level; one slot may stand at several."""


class Class(NamedTuple):
    """All that is found equally well."""

    rank: int
    slots: Bits


def best(levels: Levels) -> dict[int, Bits]:
    """Each slot at its best level alone."""
    seen = EMPTY
    found: dict[int, Bits] = {}
    for level in sorted(levels):
        fresh = levels[level] - seen
        if fresh:
            found[level] = fresh
            seen |= fresh
    return found


def everyone(levels: Levels) -> Bits:
    return bits.union(levels.values())


def classes(tokens: Sequence[Levels]) -> list[Class]:
    """The slots that have every token, by the sum of their levels."""
    if not tokens:
        return []
    sums = best(tokens[0])
    for levels in tokens[1:]:
        ahead = best(levels)
        following: dict[int, Bits] = {}
        for rank, slots in sums.items():
            for level, having in ahead.items():
                both = slots & having
                if both:
                    following[rank + level] = following.get(rank + level, EMPTY) | both
        sums = following
    return [Class(rank, sums[rank]) for rank in sorted(sums)]


def shared_by(groups: Sequence[Bits], least: int) -> Bits:
    """What is in at least so many of the sets: added up bit by bit, all at once."""
    if least <= 0 or least > len(groups):
        return EMPTY
    reached = [EMPTY] * (least + 1)  # reached[n]: in n or more of those seen
    for group in groups:
        for number in range(least, 1, -1):
            reached[number] |= reached[number - 1] & group
        reached[1] |= group
    return reached[least]
