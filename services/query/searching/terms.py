"""What a contact is indexed under. Pure.

Rule 1: a contact's terms are a function of its own text and of its organization's indexed name.
Rule 2: a word of the e-mail address that is also in the name counts for the name only: the name
        ranks it better in every way.
"""

from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from services.query.searching import words

SHORT: Final = 3
"""Beginnings up to this length are terms themselves: too many words share them."""
GRAM: Final = 3
PAD: Final = "$$"


class Kind(IntEnum):
    """The meaning of a term. The first three are words; `kind + 3` is the beginning of such a
    word.
    """

    NAME = 0
    EMAIL = 1
    ORGANIZATION = 2
    NAME_PREFIX = 3
    EMAIL_PREFIX = 4
    ORGANIZATION_PREFIX = 5
    PHONE = 6
    MEMBER = 7
    LETTERS = 8
    LENGTH = 9
    BUCKET = 10
    NAME_WORDS = 11
    EMAIL_WORDS = 12
    DOMAIN = 13


WORD_KINDS: Final = (Kind.NAME, Kind.EMAIL, Kind.ORGANIZATION)
_TO_PREFIX: Final = 3
_SHORT_SIZES: Final = range(1, SHORT + 1)
_NAME, _EMAIL, _PHONE = int(Kind.NAME), int(Kind.EMAIL), int(Kind.PHONE)
_MEMBER, _LETTERS, _LENGTH = int(Kind.MEMBER), int(Kind.LETTERS), int(Kind.LENGTH)
_BUCKET, _DOMAIN = int(Kind.BUCKET), int(Kind.DOMAIN)
SCORES: Final = 11
BUCKETS: Final = range(2 * SCORES)
"""The list's coarse order: first by the side of the campaign, then by score."""


Term = tuple[str, int]
"""A word and its kind. A plain tuple, since dozens are made for every contact."""


class Document(NamedTuple):
    """The searched text of a contact, without its organization's."""

    name: str | None
    email: str | None
    phone: str | None
    organization_id: UUID | None


NOBODY: Final = Document(None, None, None, None)


def bucket(number: int) -> Term:
    return f"{number:02d}", _BUCKET


def bucket_of(*, not_in_campaign: bool, score: int) -> int:
    return SCORES * not_in_campaign + score


def of_contact(document: Document, organization_name: str | None) -> set[Term]:
    name = set(words.of_name(document.name))
    email = set(words.words(document.email)) - name
    found = _worded(name, _NAME) | _worded(email, _EMAIL)
    found.add(several(words.several(document.name), Kind.NAME_WORDS))
    found.add(several(words.several(document.email), Kind.EMAIL_WORDS))
    if domain := words.domain(document.email):
        found.add((domain, _DOMAIN))
    if document.phone:
        forms = set(words.number(document.phone))
        found |= {(gram, _PHONE) for form in forms for gram in grams(form)}
    if document.organization_id is not None:
        found.add(member(document.organization_id))
        found |= of_organization(organization_name)
    return found


def several(count: int, kind: Kind) -> Term:
    """The term for a name, or an address, of so many words."""
    return str(count), int(kind)


@lru_cache(maxsize=4096)
def of_organization(name: str | None) -> frozenset[Term]:
    """The terms that all contacts of an organization have by its name."""
    return frozenset(_worded(set(words.of_name(name)), int(Kind.ORGANIZATION)))


def member(organization_id: UUID) -> Term:
    return organization_id.hex, _MEMBER


def _worded(found: set[str], kind: int) -> set[Term]:
    prefix = kind + _TO_PREFIX
    terms: set[Term] = set()
    for word in found:
        terms.add((word, kind))
        for size in _SHORT_SIZES:
            terms.add((word[:size], prefix))
    return terms


def of_word(word: str) -> set[Term]:
    """The terms by which a dictionary word is found when only a part, or a misspelling, is
    known.
    """
    if word.isdigit():
        return set()
    found = {(gram, _LETTERS) for gram in padded_grams(word)}
    found.add((str(len(word)), _LENGTH))
    return found


def grams(text: str) -> set[str]:
    return {text[place : place + GRAM] for place in range(len(text) - GRAM + 1)}


def padded_grams(word: str) -> set[str]:
    return grams(PAD + word + PAD)


def beginning_grams(word: str) -> set[str]:
    """Those of `padded_grams` that all words have that begin so."""
    return grams(PAD + word)
