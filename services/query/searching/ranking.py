"""From the slots of each token at each level to the slots found at each rank. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.query.searching import bits
from services.query.searching.bits import EMPTY, Bits

Levels = Mapping[int, Bits]
"""Slots by level; one slot may have several."""


class Class(NamedTuple):
    """All equally good hits."""

    rank: int
    slots: Bits


def best(levels: Levels) -> dict[int, Bits]:
    """Each slot at its best level only."""
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
    """What is in at least `least` of the sets, counted bit by bit for all at once."""
    if least <= 0 or least > len(groups):
        return EMPTY
    reached = [EMPTY] * (least + 1)  # reached[n]: in n or more of those seen
    for group in groups:
        for number in range(least, 1, -1):
            reached[number] |= reached[number - 1] & group
        reached[1] |= group
    return reached[least]


def parted(found: Iterable[Class], names: Bits, addresses: Bits) -> list[Class]:
    """Classes by rank, from those by the sums of their levels: one less for slots that have
    nothing else (`matching`, rule 1), by name or by address.
    """
    classes: list[Class] = []
    for total, slots in found:
        best = slots & (names | addresses if total == 0 else addresses)
        rest = slots - best
        classes += [Class(2 * total - 1, best)] if best else []
        classes += [Class(2 * total, rest)] if rest else []
    return classes
