"""Under which keys two records meet before they are compared. Pure.

Rule 1: records that are linked without a person share a key: a name, a core key with a fact that
        corroborates it, or a crowd's key (domain, place), within which names are compared.
Rule 2: a crowd of more than CROWD living records says nothing about any two of them.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import lru_cache

from services.orgs.matching import legal_forms, meanings, reasons, score, sounds, weights
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import COMMON, Rarity
from services.orgs.matching.statement import Ref

CROWD = 20
LONGEST = 200
"""Most characters of a key stored as text: index entries are limited."""

ALIKE_FROM = 0.5
"""Postgres' own 0.3 reads thousands of names that share common words, and misses one in eight that
a person should see, most of which share a rare word.
"""
FEW_TRIGRAMS, FEW_ALIKE_FROM = 6, 0.57
"""With half of the trigrams, a four-letter word would match every name that begins with two
of its letters.
"""
MANY_TRIGRAMS, MANY_ALIKE_FROM = 24, 0.65

Key = tuple[str, ...]


def borne_out(found: Profile) -> tuple[Key, ...]:
    """Core key and legal form with what corroborates them, with and without the country."""
    name = found.name
    if not name.core:
        return ()
    keys: list[Key] = []
    if found.domain:
        keys.append(("domain", name.core, name.form.spelling, found.domain))
    if found.postcode and found.city:
        keys.append(("place", name.core, name.form.spelling, found.postcode, found.city))
    return (*keys, *((*key, found.country) for key in keys if found.country))


def crowds(found: Profile) -> tuple[Key, ...]:
    keys: list[Key] = []
    if found.domain:
        keys.append(("domain", found.domain))
    key = place(found)
    if key:
        keys.append(("place", key))
    return tuple(keys)


def place(found: Profile) -> str | None:
    """The postcode with the name's first word, as a postcode alone covers half a town."""
    if not found.postcode or not found.name.words:
        return None
    return f"{found.postcode} {found.name.words[0]}"[:LONGEST]


def telling(found: Profile) -> str | None:
    """The words that are neither common in business everywhere nor a legal form; all words, if
    there are no others. Translatable words are put into one language; all are spelled by sound.
    """
    words = [meanings.in_one_language(word) for word in found.name.words]
    kept = [word for word in words if not _tells_nothing(word)] or words
    return " ".join(map(sounds.of, kept))[:LONGEST] or None


def _tells_nothing(word: str) -> bool:
    return word in COMMON or legal_forms.is_form(word)


def alike_from(telling: str) -> float:
    """The share of both names' trigrams that another name must have in common with these words to
    be looked at. The fewer they are, the more of them a single typo spoils; with very few, one
    typo leaves less than half, and only names that begin alike would be read.
    """
    trigrams = sum(len(word) + 1 for word in telling.split())
    if trigrams <= FEW_TRIGRAMS:
        return FEW_ALIKE_FROM
    return ALIKE_FROM if trigrams < MANY_TRIGRAMS else MANY_ALIKE_FROM


@lru_cache(maxsize=65_536)
def likeness(one: Profile, other: Profile) -> float | None:
    """The score of two that share a crowd's key, if it may link them or prevent a link.

    By what is common in business everywhere, not by the tenant's names: it must not change with
    what else arrives.
    """
    if one.ref > other.ref:
        return likeness(other, one)
    if reasons.profiles_contradict(one, other):
        return None
    found = score.compared(one, other, Rarity())
    if found.score < weights.AUTOMATIC - weights.CLOSE:
        return None
    if reasons.vetoes(found.features) or not reasons.are_borne_out(found.features):
        return None
    return found.score


def met(
    members: Mapping[Ref, Profile], keys_of: Callable[[Profile], Iterable[Hashable]]
) -> list[frozenset[Ref]]:
    """The records that share a key, for each key."""
    found: dict[Hashable, list[Ref]] = {}
    for ref, profile in members.items():
        for key in keys_of(profile):
            found.setdefault(key, []).append(ref)
    return [frozenset(refs) for refs in found.values() if len(refs) > 1]
