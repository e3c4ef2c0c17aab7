"""What a search text asks for. Pure.

Rule 1: a text is tokens, all of which a contact must have, in any order.
Rule 2: digits written in groups, as phone numbers are, are one token.
"""

import re
from dataclasses import dataclass
from typing import Final

from services.query.searching import words

MOST_TOKENS: Final = 8
LEAST_DIGITS: Final = 3
LEAST_GROUPED: Final = 6
"""Digits that groups must have together to be one number: 'studio 54 7' names no phone. What
begins as only phone numbers do, with 0 or +, needs no more than a fragment.
"""

_NUMBER: Final = re.compile(r"(?<![a-z0-9@.])\+?\(?[0-9][0-9 ().+/-]*[0-9](?![a-z0-9@])")
_GROUPED: Final = re.compile(r"[^0-9]")


@dataclass(frozen=True, slots=True)
class Token:
    """`word` is empty for a number in groups; `digits` for what cannot be a part of a number."""

    word: str
    digits: str


@dataclass(frozen=True, slots=True)
class Asked:
    tokens: tuple[Token, ...]


def parse(text: str) -> Asked:
    """No tokens when there is nothing to look for."""
    plain = words.folded(text)
    tokens: dict[Token, None] = {}
    rest = _NUMBER.sub(lambda found: _taken(found[0], tokens), plain)
    for word in words.words(rest):
        tokens[_worded(word)] = None
    return Asked(tuple(tokens)[:MOST_TOKENS])


def _taken(written: str, tokens: dict[Token, None]) -> str:
    """The text without it if it is a number, else as it stands."""
    number = words.digits(written)
    least = LEAST_DIGITS if written[0] in "0+" else LEAST_GROUPED
    if len(number) < least or not _GROUPED.search(written.strip("+")):
        return written
    tokens[Token("", number)] = None
    return " "


def _worded(word: str) -> Token:
    if not word.isdigit():
        return Token(word, "")
    number = word.lstrip("0")
    return Token(word, number if len(number) >= LEAST_DIGITS else "")
