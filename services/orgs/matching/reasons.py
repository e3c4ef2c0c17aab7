"""Why two records may be one organization and why not, in sentences. Pure.

Rule 1: a contradiction is a fact that both state and that differs: a domain or a country.
Rule 2: a veto forbids linking without a person: a contradiction, legal forms of different kinds,
        numbers that differ or stand on one side only, or, where both names have a legal form, a
        word that only one has: so members of one group are told apart.
Rule 3: evidence is a fact beside the name that both state alike: a domain, a phone, a postcode.
        A domain is a whole group's, its funds' and its branches': it bears out only names of which
        neither has a word more than the other. A postcode is half a town's: it bears out only
        names that have the very same words.
"""

from collections.abc import Mapping

from services.orgs.matching.features import Features
from services.orgs.matching.profile import Profile

_NO_WORD_MORE = 0.3
"""Weight that a misspelt or shortened word may lack: less than any word that tells anything."""
_SAME_WORDS = 0.1
"""Weight that translated words may lack, or a word that only connects."""

_VETOES: Mapping[str, str] = {
    "domain_differs": "Their web domains differ.",
    "country_differs": "Their countries differ.",
    "form_contradicts": "Their legal forms can't be the same company's.",
    "numbers_differ": "The numbers in their names differ.",
    "number_on_one_side": "Only one of their names has a number.",
    "word_on_one_side": "Both have a legal form, and only one of them has one of its words.",
}
_EVIDENCE: Mapping[str, str] = {
    "same_domain": "Their web domain is the same.",
    "same_phone": "Their phone number is the same.",
    "same_postcode": "Their postcode is the same.",
}
_NAMES: Mapping[str, str] = {
    "same_words": "Their names are the same without legal forms.",
    "former_name": "One had the other's name before.",
}


def vetoes(found: Features) -> tuple[str, ...]:
    return _told(_VETOES, found)


def evidence(found: Features) -> tuple[str, ...]:
    return _told(_EVIDENCE, found)


def are_borne_out(found: Features) -> bool:
    """Whether evidence is enough to link names that are alike."""
    return bool(
        found.same_phone
        or (found.same_domain and found.missing_from_one < _NO_WORD_MORE)
        or (found.same_postcode and found.missing_from_one <= _SAME_WORDS)
    )


def similarity(found: Features, score: float) -> tuple[str, ...]:
    """What a reviewer reads first."""
    shared = f"Their names share {found.shared:.0%} of what their words tell; score {score:.2f}."
    return (shared, *_told(_NAMES, found), *evidence(found), *vetoes(found))


def profiles_contradict(one: Profile, other: Profile) -> bool:
    return _differ(one.domain, other.domain) or _differ(one.country, other.country)


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _told(sentences: Mapping[str, str], found: Features) -> tuple[str, ...]:
    return tuple(sentence for name, sentence in sentences.items() if getattr(found, name))
