"""What two records have in common and what sets them apart, by name. Pure.

Rule 1: every feature lies between 0 and 1, and does not depend on which record comes first.
Rule 2: a fact that either record lacks gives 0 to every feature that compares it.
Rule 3: an empty key equals nothing.
Rule 4: names with the same letters have the same words, however they are divided.
"""

from typing import NamedTuple

from rapidfuzz.distance import Indel

from services.orgs.matching import alignment
from services.orgs.matching.keys import NameKeys
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity

_ENOUGH = 3.0
"""Matched weight that suffices by itself: three words that no other name has."""
_A_WORD = 0.3
"""Missing weight of at least a word: less is a typo, or a connecting word."""


class Features(NamedTuple):
    same_words: float = 0.0
    shared: float = 0.0
    contained: float = 0.0
    evidence: float = 0.0
    rarest_shared: float = 0.0
    missing_from_one: float = 0.0
    missing_from_both: float = 0.0
    first_word: float = 0.0
    letters: float = 0.0
    same_form: float = 0.0
    form_contradicts: float = 0.0
    form_on_one_side: float = 0.0
    same_numbers: float = 0.0
    numbers_differ: float = 0.0
    number_on_one_side: float = 0.0
    word_on_one_side: float = 0.0
    former_name: float = 0.0
    same_domain: float = 0.0
    domain_differs: float = 0.0
    same_country: float = 0.0
    country_differs: float = 0.0
    same_postcode: float = 0.0
    postcode_differs: float = 0.0
    same_city: float = 0.0
    city_differs: float = 0.0
    same_phone: float = 0.0

    def named(self) -> dict[str, float]:
        return self._asdict()


NAMES = Features._fields


def between(one: Profile, other: Profile, rarity: Rarity) -> Features:
    left, right = sorted((one.name, other.name), key=lambda name: name.core)
    letters = _letters(left, right)
    same_letters = letters == 1.0
    aligned = alignment.align(left.words, left.words if same_letters else right.words, rarity)
    total = sum(aligned.total)
    numbers = _agree(left.numbers or None, right.numbers or None)
    forms = (left.form, right.form)
    domains = _agree(one.domain, other.domain)
    countries = _agree(one.country, other.country)
    postcodes = _agree(one.postcode, other.postcode)
    cities = _agree(one.city, other.city)
    return Features(
        same_words=float(same_letters or left.core == right.core != ""),
        shared=sum(aligned.matched) / total if total else 0.0,
        contained=_contained(aligned),
        evidence=min(1.0, sum(aligned.matched) / 2 / _ENOUGH),
        rarest_shared=aligned.rarest,
        missing_from_one=max(aligned.missing),
        missing_from_both=min(aligned.missing),
        first_word=_first_word(left, right),
        letters=letters,
        same_form=float(forms[0] == forms[1] and bool(forms[0].spelling)),
        form_contradicts=float(left.forms_contradict(right)),
        form_on_one_side=float(bool(forms[0].spelling) != bool(forms[1].spelling)),
        same_numbers=numbers[0],
        numbers_differ=numbers[1],
        number_on_one_side=float(bool(left.numbers) != bool(right.numbers)),
        word_on_one_side=float(_are_full(left, right) and max(aligned.missing) >= _A_WORD),
        former_name=float(_former(one, other) or _former(other, one)),
        same_domain=domains[0],
        domain_differs=domains[1],
        same_country=countries[0],
        country_differs=countries[1],
        same_postcode=postcodes[0],
        postcode_differs=postcodes[1],
        same_city=cities[0],
        city_differs=cities[1],
        same_phone=_agree(one.phone, other.phone)[0],
    )


def _agree(one: object | None, other: object | None) -> tuple[float, float]:
    if one is None or other is None:
        return 0.0, 0.0
    return (1.0, 0.0) if one == other else (0.0, 1.0)


def _are_full(left: NameKeys, right: NameKeys) -> bool:
    """Whether both are full names as in registers, from which nothing is left out at will."""
    return bool(left.form.kinds and right.form.kinds)


def _contained(aligned: alignment.Alignment) -> float:
    shares = (m / t for m, t in zip(aligned.matched, aligned.total, strict=True) if t)
    return min(1.0, max(shares, default=0.0))


def _first_word(left: NameKeys, right: NameKeys) -> float:
    return alignment.likeness(left.words[0], right.words[0]) if left.words and right.words else 0.0


def _letters(left: NameKeys, right: NameKeys) -> float:
    if not left.words or not right.words:
        return 0.0
    alike: float = Indel.normalized_similarity("".join(left.words), "".join(right.words))
    return alike


def _former(one: Profile, other: Profile) -> bool:
    return one.name.normalized in other.former or bool(one.former & other.former)
