"""Finds who has several words that were typed as one: "annaberg" may mean Anna Berg.

Rule: what it finds is what `matching.run_together` says of each contact.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from services.query.batch import User
from services.query.searching import bitmaps, bits, lookup_store, matching
from services.query.searching.bits import EMPTY, Bits
from services.query.searching.lookup_store import Wanted
from services.query.searching.terms import Kind
from shared.db import Connection

SIDES: Final = (
    ((Kind.NAME,), matching.INSIDE),
    ((Kind.NAME, Kind.EMAIL), matching.INSIDE + matching.ELSEWHERE),
    ((Kind.ORGANIZATION,), matching.INSIDE + matching.ELSEWHERE),
)
"""The words that may be typed as one, and the level of that."""


class Together(NamedTuple):
    """The slots of who has a word like this, and the last kind of what it was made of."""

    word: str
    level: int
    kind: Kind
    slots: Bits


async def find(
    conn: Connection, user: User, asked: Collection[str], size: int
) -> Sequence[Together]:
    """`size`: slots were given out below it."""
    long_enough = [word for word in asked if len(word) in matching.RUN_TOGETHER]
    wanted = {
        piece: [Wanted(piece, Kind.NAME, Kind.ORGANIZATION)]
        for word in long_enough
        for _, piece in _pieces(word)
    }
    found = await lookup_store.postings(conn, user, wanted)
    having: defaultdict[str, dict[int, Bits]] = defaultdict(dict)
    for (piece, kind), stored in found.items():
        having[piece][kind] = bitmaps.joined(stored, size)
    return [
        Together(word, level, kinds[-1], _made_of(word, having, kinds))
        for word in long_enough
        for kinds, level in SIDES
    ]


def _pieces(word: str) -> Iterator[tuple[int, str]]:
    """Where each begins, those that begin first first."""
    for start, end in combinations(range(len(word) + 1), 2):
        piece = word[start:end]
        if piece != word and matching.is_piece(piece, start):
            yield start, piece


def _made_of(word: str, having: Mapping[str, Mapping[int, Bits]], kinds: Collection[int]) -> Bits:
    """The slots whose words of these kinds are the word, one after the other."""
    reached: dict[int, Bits] = {}
    for start, piece in _pieces(word):
        held = having.get(piece, {})
        slots = bits.union(held[kind] for kind in kinds if kind in held)
        if start:
            slots &= reached.get(start, EMPTY)
        if slots:
            end = start + len(piece)
            reached[end] = reached.get(end, EMPTY) | slots
    return reached.get(len(word), EMPTY)
