"""A record as matching sees it. Pure.

Rule 1: an unknown fact is None and is neither evidence nor contradiction.
Rule 2: a name that is an address is also the website, if no other is stated.
Rule 3: a former name is an alias: it only finds candidates for a person to look at.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from services.orgs import names
from services.orgs.matching import domain, keys, place, words
from services.orgs.matching.keys import NameKeys

_FEWEST_DIGITS = 7
_COMPARED_DIGITS = 9
"""The last digits of a phone number: with and without its country and trunk prefix."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What a record states about an organization, as it arrived."""

    name: str | None
    website: str | None = None
    country: str | None = None
    postcode: str | None = None
    city: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """`ref` names the record, `organization` the one it belongs to; empty if to none yet."""

    ref: str
    organization: str
    pipedrive_id: int | None
    name: NameKeys
    former: frozenset[str] = frozenset()
    domain: str | None = None
    country: str | None = None
    postcode: str | None = None
    city: str | None = None
    phone: str | None = None


@lru_cache(maxsize=65_536)
def _name(text: str | None) -> NameKeys:
    return keys.of_name(text)


@lru_cache(maxsize=65_536)
def _address(name: str | None) -> str | None:
    return domain.named(name) if name and len(name) <= keys.LONGEST_COMPARED else None


def of(
    stated: Stated,
    *,
    ref: str = "",
    organization: str = "",
    pipedrive_id: int | None = None,
    former_names: Iterable[str] = (),
) -> Profile:
    name = _name(stated.name)
    return Profile(
        ref,
        organization,
        pipedrive_id,
        name,
        frozenset(filter(None, map(names.normalized, former_names))) - {name.normalized},
        domain.of(stated.website) or _address(stated.name),
        place.country(stated.country),
        place.postcode(stated.postcode),
        place.city(stated.city),
        phone(stated.phone),
    )


def phone(text: str | None) -> str | None:
    if not text:
        return None
    digits = "".join(char for char in "".join(words.split(text)) if char.isdigit())
    return digits[-_COMPARED_DIGITS:] if len(digits) >= _FEWEST_DIGITS else None
