"""Why two records may be one organization and why not, in sentences. Pure.

Rule 1: a contradiction is a fact that both state differently: a domain or a country.
Rule 2: a veto forbids linking without a person: a contradiction, legal forms of different kinds,
        numbers that differ or are on one side only, or, where both names have a legal form, a
        word that only one has: this tells members of one group apart.
Rule 3: evidence is a fact besides the name that both state alike: a domain, a phone, a postcode.
        A domain may be a whole group's, its funds' and its branches': it corroborates only names
        of which neither has an extra word. A postcode covers half a town: it corroborates only
        names that have exactly the same words.
"""

from collections.abc import Mapping

from services.orgs.matching.features import Features
from services.orgs.matching.profile import Profile

_NO_WORD_MORE = 0.3
"""Weight that a misspelt or shortened word may lack: less than any informative word."""
_SAME_WORDS = 0.1
"""Weight that translated or connecting words may lack."""

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
    """Whether the evidence is enough to link similar names."""
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
