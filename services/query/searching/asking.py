"""What a search text asks for. Pure.

Rule 1: a text is needs, all of which a contact must meet, in any order. A word is one.
Rule 2: digits written in groups, as phone numbers are, are one need. A few of them may be a part
        of a number or words of a name: either will do.
Rule 3: digits are looked for in numbers as they are typed, and without the zeros before them.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from services.query.searching import words
from services.query.searching.words import Number

LEAST_DIGITS: Final = 3
LEAST_GROUPED: Final = 6
"""Digits that groups must have together to be nothing but a number: 'studio 54 7' may name no
phone. What begins as only phone numbers do, with 0 or +, needs no more than a fragment.
"""

_NUMBER: Final = re.compile(r"(?<![a-z0-9@.])\+?\(?[0-9][0-9 ().+/-]*[0-9](?![a-z0-9@])")
_GROUPED: Final = re.compile(r"[^0-9]")


@dataclass(frozen=True, slots=True)
class Token:
    """`word` is empty for a number in groups; `number` null for what cannot be a part of one."""

    word: str
    number: Number | None


Way = tuple[Token, ...]
"""Tokens that a contact must have together."""

Need = tuple[Way, ...]
"""Ways, one of which will do."""


@dataclass(frozen=True)
class Asked:
    needs: tuple[Need, ...]

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Those of all ways."""
        return tuple(dict.fromkeys(t for need in self.needs for way in need for t in way))


def parse(text: str) -> Asked:
    """No needs when there is nothing to look for."""
    plain = words.folded(text)
    needs: dict[Need, None] = {}
    rest = _NUMBER.sub(lambda found: _taken(found[0], needs), plain)
    for word in words.of_folded(rest):
        needs[((_worded(word),),)] = None
    return Asked(tuple(needs))


def _taken(written: str, needs: dict[Need, None]) -> str:
    """The text without it if it may be a number in groups, else as it stands."""
    number = _fragment(written)
    if number is None or not _GROUPED.search(written.strip("+")):
        return written
    ways: list[Way] = [(Token("", number),)]
    least = LEAST_DIGITS if written[0] in "0+" else LEAST_GROUPED
    if len(number.plain) < least:
        ways.append(tuple(dict.fromkeys(map(_worded, words.of_folded(written)))))
    needs[tuple(ways)] = None
    return " "


def _worded(word: str) -> Token:
    return Token(word, _fragment(word) if word.isdigit() else None)


def _fragment(written: str) -> Number | None:
    """Of a number; null: too few digits to go by."""
    number = words.number(written)
    if len(number.written) < LEAST_DIGITS:
        return None
    return number if len(number.plain) >= LEAST_DIGITS else Number(number.written, "")
