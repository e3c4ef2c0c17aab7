"""Turn an organization's name into the key under which equal names meet. Pure.

Rule 1: lower-case; drop everything but word characters and white space; fold white space.
Rule 2: word characters are those of every alphabet: Unicode's letters, digits and underscore, and
        the marks that belong to a letter, without which Indic words lose their vowels.
Rule 3: a letter is the same composed or decomposed (NFC). Look-alikes (full-width letters,
        ligatures) and accents stay distinct: folding them is a judgement, this is an identity.
Rule 4: normalizing twice is normalizing once. An empty key matches nothing.
"""

import re
import unicodedata
from collections.abc import Iterator
from uuid import NAMESPACE_URL, UUID, uuid5

from shared import ids

_DROPPED_IN_ASCII = re.compile(r"[^\w\s]+")
_MARKS = frozenset({"Mn", "Mc"})
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
"""They select an emoji's presentation, and would outlive the emoji that is dropped."""


def normalized(name: str | None) -> str:
    if not name:
        return ""
    if name.isascii():
        kept = _DROPPED_IN_ASCII.sub("", name.lower())
    else:
        lowered = unicodedata.normalize("NFC", name).lower()
        kept = unicodedata.normalize("NFC", "".join(_kept(lowered)))
    return " ".join(kept.split())


def key(company_id: int, normalized_name: str) -> UUID | None:
    """The normalized name within its tenant, in 16 bytes."""
    return made_id(company_id, normalized_name) if normalized_name else None


def made_id(company_id: int, normalized_name: str) -> UUID:
    """The id of the record that a user makes under a name, and that name's key."""
    return ids.made_organization(company_id, normalized_name)


def core_id(company_id: int, core_key: str) -> UUID | None:
    """A core key within its tenant, in 16 bytes."""
    return uuid5(NAMESPACE_URL, f"{company_id}:org:core:{core_key}") if core_key else None


def pair_id(company_id: int, one: UUID, other: UUID) -> UUID:
    """The question whether two records are one organization, whichever is named first."""
    low, high = sorted((one.hex, other.hex))
    return uuid5(NAMESPACE_URL, f"{company_id}:org:pair:{low}:{high}")


def renamed_id(company_id: int, record_id: UUID, domain: str, version: int) -> UUID:
    """The question whether a record is still the same as when it last had a domain: a record that
    returns there and leaves again is asked about again.
    """
    told = f"{record_id.hex}:{domain}:{version}"
    return uuid5(NAMESPACE_URL, f"{company_id}:org:renamed:{told}")


def verdict_id(company_id: int, request: str, times: int) -> UUID:
    """The verdict that a user's request makes after `times` earlier ones by the same request."""
    return uuid5(NAMESPACE_URL, f"{company_id}:org:verdict:{times}:{request}")


def _kept(text: str) -> Iterator[str]:
    in_word = False
    for char in text:
        if char.isalnum() or char == "_" or (in_word and _is_mark(char)):
            in_word = True
            yield char
        else:
            in_word = False
            if char.isspace():
                yield " "


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in _MARKS and ord(char) not in _VARIATION_SELECTORS
