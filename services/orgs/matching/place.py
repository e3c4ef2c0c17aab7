"""Countries as ISO 3166-1 alpha-2, postcodes and cities in one spelling. Pure.

Rule 1: a country may come as a code of two or three letters, as a number or as a name in one of
        many languages; a name that means two countries in two languages means none.
Rule 2: a country that is not understood is None, and contradicts nothing.
Rule 3: separated letters ("N/A", "s/d") are not a code, unless a country is written so ("U.S.").
"""

import re
from functools import cache, lru_cache

from services.orgs.matching import words
from services.orgs.matching.country_table import NAMES

_SPOKEN = {
    "UK": "GB", "England": "GB", "Scotland": "GB", "Wales": "GB", "Northern Ireland": "GB",
    "Great Britain": "GB", "U.S.": "US", "U.S.A.": "US", "America": "US", "Holland": "NL",
    "United States of America": "US", "The Netherlands": "NL", "Korea": "KR", "Macau": "MO",
    "Republic of Korea": "KR", "Russian Federation": "RU", "Czech Republic": "CZ", "UAE": "AE",
    "Viet Nam": "VN", "Republic of Ireland": "IE", "Hong Kong": "HK", "Turkey": "TR",
    "Ivory Coast": "CI", "PRC": "CN", "People's Republic of China": "CN", "Taiwan": "TW",
    "Mainland China": "CN", "The Bahamas": "BS", "Taiwan, Province of China": "TW",
    "Republic of the Congo": "CG", "Slovak Republic": "SK",
}  # fmt: skip
_APART = frozenset("./")
_ZIP_AND_FOUR = re.compile(r"(?:[A-Za-z]{1,2}[ -]?)?([0-9]{5})-[0-9]{4}")
_PREFIXED = 2
"""Letters before a postcode's digits that only name the country ("D-10115", "CH-8001")."""


@lru_cache(maxsize=4_096)
def country(text: str | None) -> str | None:
    if not text:
        return None
    spoken = " ".join(words.split(text))
    if len(spoken) == len("DE") and _APART & set(words.folded(text).strip(" .")):
        return _spoken().get(spoken)
    return _countries().get(spoken) if spoken else None


def postcode(text: str | None) -> str | None:
    """Letters and digits only, at least three, without a country prefix, without the four-digit
    suffix of US ZIP+4 codes, and without leading zeros, which spreadsheets drop.
    """
    if not text:
        return None
    within = _ZIP_AND_FOUR.fullmatch(text.strip())
    text = within[1] if within else text
    compact = "".join(word for word in words.split(text) if word.isascii())
    digits = compact.lstrip("abcdefghijklmnopqrstuvwxyz")
    if digits.isdigit() and len(compact) - len(digits) <= _PREFIXED:
        compact = digits.lstrip("0")
    return compact if len(compact) > _PREFIXED else None


def city(text: str | None) -> str | None:
    return " ".join(words.split(text)) or None if text else None


@cache
def _countries() -> dict[str, str]:
    found = {name: code for code, names in NAMES.items() for name in names.split(";")}
    return found | _spoken() | {code.lower(): code for code in NAMES}


@cache
def _spoken() -> dict[str, str]:
    return {" ".join(words.split(name)): code for name, code in _SPOKEN.items()}
