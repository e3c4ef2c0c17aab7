"""Finds the words of a user's contacts that contain what was typed, or are misspellings of it.

Rule: what it finds agrees with `matching.word_level` for each word, except words that begin with
      what was typed; `is_exact` is false if a limit left some out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from services.query.batch import User
from services.query.searching import (
    bitmaps,
    bits,
    lookup_store,
    matching,
    ranking,
    terms,
    unfinished,
)
from services.query.searching.bits import Bits
from services.query.searching.lookup_store import Postings, Wanted
from services.query.searching.matching import Reach
from services.query.searching.terms import Kind
from shared.db import Connection

MOST_WORDS: Final = 1000
"""Most words of the dictionary that one token may stand for."""
MOST_CANDIDATES: Final = 4000


class Alike(NamedTuple):
    by_level: Mapping[int, Sequence[str]]
    is_exact: bool


async def alike(conn: Connection, user: User, asked: str, size: int, reach: Reach) -> Alike:
    """`size`: words are numbered below it."""
    groups = sorted(terms.padded_grams(asked))
    wanted = {group: [Wanted(group, Kind.LETTERS, Kind.LETTERS)] for group in groups}
    for edits, of_edits in matching.lengths(asked).items():
        wanted[_length(edits)] = [
            Wanted(str(letters), Kind.LENGTH, Kind.LENGTH) for letters in of_edits
        ]
    found = await lookup_store.postings(conn, user, wanted)
    by_group = {g: bitmaps.joined(found[g, Kind.LETTERS], size) for g in groups}
    inner = sorted(terms.grams(asked)) if reach >= Reach.INSIDE else []
    candidates = ranking.shared_by([by_group[g] for g in inner], len(inner))
    are_many = candidates.count() > MOST_WORDS
    is_exact = True
    for sharing in (
        *_whole(asked, by_group, found, size),
        *(_unfinished(asked, by_group) if reach is Reach.BEGUN else ()),
    ):
        near, are_all = sharing.found()
        candidates |= near
        is_exact &= are_all
    numbers = candidates.numbers()
    looked_at = numbers[:MOST_CANDIDATES]
    words = await lookup_store.words(conn, user, looked_at, are_many=are_many)
    levels = _levels(asked, words, reach)
    is_exact &= len(looked_at) == len(numbers) and len(levels) <= MOST_WORDS
    by_level: defaultdict[int, list[str]] = defaultdict(list)
    for word, level in sorted(levels.items(), key=itemgetter(1))[:MOST_WORDS]:
        by_level[level].append(word)
    return Alike(by_level, is_exact)


def _levels(asked: str, words: Sequence[str], reach: Reach) -> Mapping[str, int]:
    longer = [word for word in words if not word.startswith(asked)]
    return matching.word_levels(asked, longer, reach)


class _Sharing(NamedTuple):
    """Words among `within` that have at least so many of the letter groups."""

    groups: Sequence[Bits]
    least: int
    within: Bits

    def found(self) -> tuple[Bits, bool]:
        """If they are too many, those that have more; and whether they are all."""
        near = ranking.shared_by(self.groups, self.least) & self.within
        least = self.least
        while near.count() > MOST_CANDIDATES:
            least += 1
            near &= ranking.shared_by(self.groups, least)
        return near, least == self.least


def _whole(
    asked: str, by_group: Mapping[str, Bits], found: Postings[str], size: int
) -> Iterator[_Sharing]:
    """Where misspelt words are."""
    groups = [by_group[group] for group in sorted(terms.padded_grams(asked))]
    for edits in matching.lengths(asked):
        long_enough = bitmaps.joined(found[_length(edits), Kind.LENGTH], size)
        yield _Sharing(groups, matching.least_shared(asked, edits), long_enough)


def _unfinished(asked: str, by_group: Mapping[str, Bits]) -> Iterator[_Sharing]:
    """Where words with a misspelt beginning are."""
    if unfinished.most_edits(asked):
        groups = [by_group[group] for group in sorted(terms.beginning_grams(asked))]
        inside = bits.union(by_group[group] for group in terms.grams(asked))
        yield _Sharing(groups, unfinished.least_shared(asked), inside)


def _length(edits: int) -> str:
    """A pseudo letter group for lengths within this many edits; no letters can form it."""
    return f"{edits} edits"
