"""Candidates from memory, as the store finds them: the same core key, the same domain, those that
share words which few have, then the nearest by trigrams. However many share a key, some are looked
at: one for all of an organization that are spelled alike.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from services.orgs.candidate_store import (
    NEAREST,
    OF_A_KEY,
    OF_A_WORD,
    OF_RARE_WORDS,
    WORDS_READ,
    likeliest,
)
from services.orgs.matching import meeting
from services.orgs.matching.profile import Profile
from services.orgs.searching import terms

TENANT = 1


class Store:
    """Stored profiles by what they can be found by."""

    def __init__(self, stored: Iterable[Profile]) -> None:
        self.profiles: list[Profile] = []
        self._keys: dict[str, list[int]] = defaultdict(list)
        self._words: dict[str, list[int]] = defaultdict(list)
        self._learned: set[str] = set()
        self._dictionary: dict[int, list[str]] = defaultdict(list)
        self._trigrams: dict[str, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        for each in stored:
            self.add(each)

    def add(self, stored: Profile) -> None:
        number = len(self.profiles)
        self.profiles.append(stored)
        for key in _keys(stored):
            self._keys[key].append(number)
        named = _words(stored)
        for word in dict.fromkeys(named):
            if word not in self._learned:
                self._learned.add(word)
                for token in terms.of_word(TENANT, word):
                    self._dictionary[token].append(word)
            self._words[word].append(number)
        for word in terms.initials(named):
            self._words[word].append(number)
        grams = trigrams(meeting.telling(stored) or "")
        self._sizes.append(len(grams))
        for gram in grams:
            self._trigrams[gram].append(number)

    def near(self, arriving: Profile) -> Sequence[Profile]:
        found = dict.fromkeys(n for key in _keys(arriving) for n in self._having(key, arriving))
        found |= dict.fromkeys(self._sharing(arriving))
        found |= dict.fromkeys(self._alike(arriving))
        return [self.profiles[number] for number in found]

    def _having(self, key: str, arriving: Profile) -> Iterable[int]:
        found: dict[tuple[str, str], int] = {}
        for number in self._keys.get(key, ()):
            each = self.profiles[number]
            if each.organization != arriving.organization:
                found.setdefault((each.organization, each.name.normalized), number)
            if len(found) == OF_A_KEY:
                break
        return found.values()

    def _sharing(self, arriving: Profile) -> list[int]:
        shares: dict[int, float] = defaultdict(float)
        named = _words(arriving)
        for own in dict.fromkeys(named):
            meant = (own,) if own in self._words else self._meant(own)
            self._count((*meant, *terms.cut(own)), shares)
        self._count(terms.initials(named), shares)
        return heapq.nlargest(OF_RARE_WORDS, shares, key=shares.__getitem__)

    def _count(self, words: Iterable[str], shares: dict[int, float]) -> None:
        for word in words:
            holders = self._words.get(word, [])
            if len(holders) <= OF_A_WORD:
                for number in holders:
                    shares[number] += 1 / len(holders)

    def _meant(self, term: str) -> Sequence[str]:
        read: dict[str, None] = {}
        for token in terms.beginnings(TENANT, term):
            read |= dict.fromkeys(self._dictionary.get(token, ()))
        return likeliest(term, islice(read, WORDS_READ))

    def _alike(self, arriving: Profile) -> list[int]:
        telling = meeting.telling(arriving) or ""
        grams = trigrams(telling)
        common: Counter[int] = Counter()
        for gram in grams:
            common.update(self._trigrams.get(gram, ()))
        size = len(grams)
        alike_from = meeting.alike_from(telling)
        least = alike_from / (1 + alike_from) * size
        near = (
            (shared / (size + self._sizes[number] - shared), number)
            for number, shared in common.items()
            if shared >= least
        )
        alike = (each for each in near if each[0] >= alike_from)
        return [number for _, number in heapq.nlargest(NEAREST, alike)]


def _words(profile: Profile) -> tuple[str, ...]:
    return terms.of_name(profile.name.normalized)


def trigrams(text: str) -> set[str]:
    """As pg_trgm cuts them: two blanks before a word, one after it."""
    padded = (f"  {word} " for word in text.split())
    return {word[at : at + 3] for word in padded for at in range(len(word) - 2)}


def _keys(profile: Profile) -> list[str]:
    found = [f"core {profile.name.core}"] if profile.name.core else []
    return found + ([f"domain {profile.domain}"] if profile.domain else [])
