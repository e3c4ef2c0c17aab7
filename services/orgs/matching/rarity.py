"""How informative a word of a name is: the rarer among the tenant's names, the more. Pure.

Rule 1: weights are above 0 and at most 1; a word that no name has weighs the most.
Rule 2: a tenant with few names relies on what is common in business everywhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.orgs.matching import legal_forms, meanings

_PRIOR_NAMES = 2_000
"""COMMON counts like this many names of the tenant's own."""

_OF_A_FORM = 0.15
"""A form inside a name ("Acme GmbH Berlin") is as uninformative as one at its end."""
_CONNECTING = 0.1
"""Hardly any weight: "Univ. of Oxford" is as often "Oxford University"."""

_JOINING_WORDS = """
and of the for in at on by de des du di del della dei degli da do dos das la le les el los las il
lo et und y e der die den dem zu zur zum am im von vom van het en och og al
"""
CONNECTING = frozenset(_JOINING_WORDS.split())
"""Connecting words: written, left out and translated at will."""

_COMMON_WORDS = (
    (240, """and"""),
    (120, """of de group holding holdings the international und et la"""),
    (60, """services service investment investments management capital global solutions energy
            systems technologies technology industries der di do da del le y"""),
    (30, """bank consulting development engineering construction partners properties trading
            enterprises products resources financial finance marketing media health medical
            logistics real estate pharma solar power software digital design food foods hotel
            national general american first new fund trust company co corporation india china
            deutschland france uk usa europe immobilien beteiligungs verwaltungs grupo gruppo
            groupe grupa den des for in van von e a"""),
    (15, """insurance transport travel electronics motors mining gold steel oil gas water
            chemical chemicals industrial communications communication network networks data
            research education school university foundation association club center centre
            central east west north south europa asia africa pacific atlantic canada australia
            london new york paris berlin studio agency labs lab tech web online store shop"""),
)  # fmt: skip
_OF_A_KIND = 20
"""How many of the names have such a word, unless counted above: "school" is written, left out,
translated and exchanged for "college" at will.
"""
COMMON: Mapping[str, int] = dict.fromkeys(meanings.of_kinds(), _OF_A_KIND) | {
    meanings.in_one_language(word): count
    for count, listed in reversed(_COMMON_WORDS)
    for word in listed.split()
}
"""By the first of the words that mean the same."""


@dataclass(frozen=True, slots=True)
class Rarity:
    """`names` is how many names were counted, `having` how many of them have a word."""

    names: int = 0
    having: Mapping[str, int] = field(default_factory=dict)
    memo: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def weight(self, word: str) -> float:
        known = self.memo.get(word)
        if known is None:
            known = self.memo[word] = self._weight(word)
        return known

    def _weight(self, word: str) -> float:
        if word in CONNECTING:
            return _CONNECTING
        if legal_forms.is_form(word):
            return _OF_A_FORM
        seen = self.having.get(word, 0) + COMMON.get(meanings.in_one_language(word), 0)
        total = self.names + _PRIOR_NAMES
        return math.log((total + 1) / (min(seen, total) + 0.5)) / math.log((total + 1) / 0.5)
