"""Which word of one name corresponds to which of another. Pure.

Rule 1: equal words first, then words that one side writes apart ("coca cola", "cocacola") or by
        their initials ("tu", "technical university"), then the most similar pairs of the rest:
        misspelt, cut short, abbreviated, translated, an initial.
Rule 2: no word stands for two, and the order of the two names does not matter. A repeated word
        counts once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter, mul, sub

from rapidfuzz.distance import OSA

from services.orgs.matching import meanings, sounds
from services.orgs.matching.rarity import CONNECTING, Rarity

_LEAST = 0.5
"""Pairs less similar than this do not match."""
_TRANSLATED = 0.9
"""Words of one meaning: "Universität" may stand for "University", but need not."""
_LEAST_LENGTH = 0.6
"""Share of the other's letters that a misspelt word has at least."""
_HEARD = 0.1
"""How much less alike words are that only sound alike."""
_VOWELS = frozenset("aeiouy")
_BY_INITIALS = {2: 0.6, 3: 0.8, 4: 0.9, 5: 0.9, 6: 0.9}
"""How surely this many initials stand for their words: two letters often match by chance."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Weights of the matched part of the two names and of all, and the heaviest missing words,
    the left name's first.
    """

    matched: tuple[float, float]
    total: tuple[float, float]
    missing: tuple[float, float]
    rarest: float
    """The weight of the heaviest pair, times its similarity."""


@dataclass(slots=True)
class _Side:
    """The words of one name, each once. `open` are the places of the unmatched ones."""

    words: list[str]
    weights: list[float]
    likeness: list[float]
    open: list[int]

    def take(self, place: int, likeness: float) -> None:
        self.likeness[place] = likeness
        self.open.remove(place)

    def weighed(self) -> tuple[float, float, float, float]:
        """Weights: matched, total, and of the heaviest word missing and matched."""
        found = list(map(mul, self.weights, self.likeness))
        missing = max(map(sub, self.weights, found), default=0.0)
        return sum(found), sum(self.weights), missing, max(found, default=0.0)


def align(left: Sequence[str], right: Sequence[str], rarity: Rarity) -> Alignment:
    a, b = _side(left, rarity), _side(right, rarity)
    _match_equal(a, b)
    if a.open and b.open:
        _match_joined(a, b)
        _match_joined(b, a)
        _match_initials(a, b)
        _match_initials(b, a)
        _match_alike(a, b)
    matched, total, missing, rarest = zip(a.weighed(), b.weighed(), strict=True)
    return Alignment(matched, total, missing, min(rarest))


@lru_cache(maxsize=262_144)
def likeness(one: str, other: str) -> float:
    """How far two words may be the same word, from 0 to 1."""
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    if short == long:
        return 1.0
    if meanings.are_one(short, long):
        return _TRANSLATED
    if long.startswith(short):
        return min(0.95, 0.45 + 0.1 * len(short))
    if len(short) < _LEAST_LENGTH * len(long):
        return _abbreviated(short, long)
    return max(_misspelt(short, long), _heard(short, long), _abbreviated(short, long))


def _heard(short: str, long: str) -> float:
    """Compares how words sound, if they begin with the same sound; others hardly ever match."""
    one, other = sounds.of(short), sounds.of(long)
    return _misspelt(one, other) - _HEARD if one[0] == other[0] else 0.0


def _misspelt(short: str, long: str) -> float:
    if min(len(short), len(long)) <= len("abc"):
        return 0.0
    alike: float = OSA.normalized_similarity(short, long, score_cutoff=0.7)
    if not alike or any(char.isdigit() for char in short + long):
        return 0.0
    return alike if short[0] == long[0] else alike - 0.1


def _abbreviated(short: str, long: str) -> float:
    """`intl` for international: its letters in order, the same beginning, hardly a vowel."""
    if short[0] != long[0] or len(short) < len("ab") or len(short) + 1 >= len(long):
        return 0.0
    if len(short) <= len("abcd") and not _VOWELS.isdisjoint(short[1:-1]):
        return 0.0
    letters = iter(long)
    return 0.65 if all(char in letters for char in short) else 0.0


def _side(words: Sequence[str], rarity: Rarity) -> _Side:
    once = list(dict.fromkeys(words))
    weights = [rarity.weight(word) for word in once]
    return _Side(once, weights, [0.0] * len(once), list(range(len(once))))


def _match_equal(a: _Side, b: _Side) -> None:
    places = {word: j for j, word in enumerate(b.words)}
    for i, word in enumerate(a.words):
        j = places.get(word)
        if j is not None:
            a.take(i, 1.0)
            b.take(j, 1.0)


def _match_joined(a: _Side, b: _Side) -> None:
    """Adjacent words of one side that the other side writes as one."""
    neighbours = [i for i, following in pairwise(a.open) if following == i + 1]
    whole = {b.words[j]: j for j in b.open} if neighbours else {}
    for i in neighbours:
        j = None if a.likeness[i] else whole.pop(a.words[i] + a.words[i + 1], None)
        if j is not None:
            a.take(i, 1.0)
            a.take(i + 1, 1.0)
            b.take(j, 1.0)


def _match_initials(a: _Side, b: _Side) -> None:
    """Adjacent words of one side that the other side writes as their initials."""
    short = [i for i in a.open if len(a.words[i]) in _BY_INITIALS]
    if not short:
        return
    said = [j for j, word in enumerate(b.words) if word not in CONNECTING]
    initials = "".join([b.words[j][0] for j in said])
    for i in short:
        word = a.words[i]
        at = initials.find(word)
        meant = said[at : at + len(word)] if at >= 0 else []
        if meant and not any(b.likeness[j] for j in meant):
            alike = _BY_INITIALS[len(word)]
            a.take(i, alike)
            for j in meant:
                b.take(j, alike)


def _match_alike(a: _Side, b: _Side) -> None:
    for alike, i, j in sorted(_pairs(a, b), key=itemgetter(0), reverse=True):
        if not a.likeness[i] and not b.likeness[j]:
            a.take(i, alike)
            b.take(j, alike)


def _pairs(a: _Side, b: _Side) -> Iterator[tuple[float, int, int]]:
    for i in a.open:
        word = a.words[i]
        for j in b.open:
            alike = likeness(word, b.words[j])
            if alike >= _LEAST:
                yield alike, i, j
