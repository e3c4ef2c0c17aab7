"""Candidates from memory: the same core key, the same domain, then the nearest by trigrams.

It stands for the store's trigram index. Of a name's trigrams the rare ones are looked up first,
and the common ones no more once BUDGET names were touched, as a limit on the index's work.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from services.orgs.matching.profile import Profile

BUDGET = 6_000
NEAREST = 50
SHORTLIST = 4 * NEAREST


class Store:
    """Stored profiles by what they can be found by."""

    def __init__(self, stored: Iterable[Profile]) -> None:
        self.profiles: list[Profile] = []
        self._keys: dict[str, list[int]] = defaultdict(list)
        self._trigrams: dict[str, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        for each in stored:
            self.add(each)

    def add(self, stored: Profile) -> None:
        number = len(self.profiles)
        self.profiles.append(stored)
        for key in _keys(stored):
            self._keys[key].append(number)
        grams = trigrams(stored.name.words)
        self._sizes.append(len(grams))
        for gram in grams:
            self._trigrams[gram].append(number)

    def near(self, arriving: Profile) -> Sequence[Profile]:
        found = dict.fromkeys(n for key in _keys(arriving) for n in self._keys.get(key, ()))
        grams = trigrams(arriving.name.words)
        common: Counter[int] = Counter()
        left = BUDGET
        for holders in sorted((self._trigrams.get(g, []) for g in grams), key=len):
            common.update(holders[:left])
            left -= len(holders)
            if left <= 0:
                break
        size = len(grams)
        shortlist = (number for number, _ in common.most_common(SHORTLIST))
        ranked = sorted(shortlist, key=lambda n: common[n] / (size + self._sizes[n] - common[n]))
        found |= dict.fromkeys(ranked[: -NEAREST - 1 : -1])
        return [self.profiles[number] for number in found]


def trigrams(words: Iterable[str]) -> set[str]:
    """As pg_trgm cuts them: two blanks before a word, one after it."""
    padded = (f"  {word} " for word in words)
    return {word[at : at + 3] for word in padded for at in range(len(word) - 2)}


def _keys(profile: Profile) -> list[str]:
    found = [f"core {profile.name.core}"] if profile.name.core else []
    return found + ([f"domain {profile.domain}"] if profile.domain else [])
