"""Finds contacts by words that were joined when typed: "annaberg" may mean Anna Berg. Pure.

Rule: what it finds agrees with `matching.run_together` for each contact.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from services.query.searching import bits, matching
from services.query.searching.bits import EMPTY, Bits
from services.query.searching.lookup_store import Wanted
from services.query.searching.terms import Kind

Having = Mapping[str, Mapping[int, Bits]]
"""The slots that have a piece as a word, by its kind."""

SIDES: Final = (
    ((Kind.NAME,), matching.INSIDE),
    ((Kind.NAME, Kind.EMAIL), matching.INSIDE + matching.ELSEWHERE),
    ((Kind.ORGANIZATION,), matching.INSIDE + matching.ELSEWHERE),
)
"""The words that may be typed as one, and the level of that."""


class Together(NamedTuple):
    """The slots with such words, and the last kind that the match needed."""

    word: str
    level: int
    kind: Kind
    slots: Bits


def wanted(asked: Iterable[str]) -> Iterator[tuple[str, list[Wanted]]]:
    """What has to be read: the possible pieces."""
    for word in asked:
        for _, piece in _pieces(word):
            yield piece, [Wanted(piece, Kind.NAME, Kind.ORGANIZATION)]


def found(asked: Iterable[str], having: Having) -> Sequence[Together]:
    """The slots of each word, from those of the pieces."""
    return [
        Together(word, level, kinds[-1], _made_of(word, having, kinds))
        for word in asked
        for kinds, level in SIDES
    ]


def _pieces(word: str) -> Iterator[tuple[int, str]]:
    """Each piece with its start, in order; none for a word that is too short or too long."""
    if len(word) not in matching.RUN_TOGETHER:
        return
    for start, end in combinations(range(len(word) + 1), 2):
        piece = word[start:end]
        if piece != word and matching.is_piece(piece, start):
            yield start, piece


def _made_of(word: str, having: Mapping[str, Mapping[int, Bits]], kinds: Collection[int]) -> Bits:
    """The slots whose words of these kinds form the word."""
    reached: dict[int, Bits] = {}
    for start, piece in _pieces(word):
        held = having.get(piece)
        if held is None:
            continue
        slots = bits.union(held[kind] for kind in kinds if kind in held)
        if start:
            slots &= reached.get(start, EMPTY)
        if slots:
            end = start + len(piece)
            reached[end] = reached.get(end, EMPTY) | slots
    return reached.get(len(word), EMPTY)
