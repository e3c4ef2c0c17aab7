"""Turns text into the words it is found by. Pure.

Rule 1: letters of every alphabet become a-z, each by itself, so that a place in the folded text
        has a place in the original; case, accents and apostrophes are gone.
Rule 2: folding twice is folding once.
Rule 3: a word is a run of letters and digits; what is too long or too much is left out.
Rule 4: what only a sign holds together in a name is one word, too: Jean-Pierre, AT&T, A.B.C.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from anyascii import anyascii

LONGEST: Final = 40
MOST_WORDS: Final = 32
MOST_JOINED: Final = 8
MOST_CHARACTERS: Final = 1000
LEAST_NUMBER: Final = 6
"""Digits without which a stored phone number is a fragment itself."""
REMEMBERED: Final = 4096
"""Letters."""
CODE: Final = 3
"""Most digits of a country's code."""

_WORD: Final = re.compile(r"[a-z0-9]+")
_JOINED: Final = re.compile(r"[a-z0-9]+(?:[-&.+/_][a-z0-9]+)+")
_SIGN: Final = re.compile(r"[^a-z0-9]")
_NO_DIGIT: Final = re.compile(r"[^0-9]+")
_TRUNK: Final = re.compile(r"\(\s*0\s*\)")
_APOSTROPHES: Final = str.maketrans("", "", "'`")


class Span(NamedTuple):
    """A word, and for each of its letters the character of the original text that it is from."""

    word: str
    places: Sequence[int]


class Number(NamedTuple):
    """The digits of a phone number, or of a part of one: all of them, and those without what
    stands for leaving a country or a town.
    """

    written: str
    plain: str


def folded(text: str) -> str:
    if not text.isascii():
        text = anyascii(text)
    return text.lower().translate(_APOSTROPHES)


_folded_letter = lru_cache(maxsize=REMEMBERED)(folded)


def words(text: str | None) -> list[str]:
    """The words in their order, repeated ones too."""
    return of_folded(folded(text[:MOST_CHARACTERS]))[:MOST_WORDS] if text else []


def of_folded(plain: str) -> list[str]:
    """All words of a text that is folded, however many."""
    return [word[:LONGEST] for word in _WORD.findall(plain)]


def of_name(text: str | None) -> list[str]:
    """The words of a name, then those that it has by rule 4."""
    if not text:
        return []
    plain = folded(text[:MOST_CHARACTERS])
    joined = (_SIGN.sub("", found)[:LONGEST] for found in _JOINED.findall(plain)[:MOST_JOINED])
    return [*of_folded(plain)[:MOST_WORDS], *joined]


def spans(text: str | None) -> list[Span]:
    """The words of `words`, with their places."""
    return list(_placed(*_unfolded(text), _WORD, MOST_WORDS)) if text else []


def spans_of_name(text: str | None) -> list[Span]:
    """The words of `of_name`, with their places."""
    if not text:
        return []
    plain, places = _unfolded(text)
    return [
        *_placed(plain, places, _WORD, MOST_WORDS),
        *_placed(plain, places, _JOINED, MOST_JOINED),
    ]


def _unfolded(text: str) -> tuple[str, Sequence[int]]:
    """The folded text, and where in the original each of its letters stands."""
    text = text[:MOST_CHARACTERS]
    plain = folded(text)
    if text.isascii() and len(plain) == len(text):  # letter by letter it is ten times dearer
        return plain, range(len(plain))
    places: list[int] = []
    parts: list[str] = []
    for place, character in enumerate(text):
        part = _folded_letter(character)
        parts.append(part)
        places.extend([place] * len(part))
    return "".join(parts), places


def _placed(
    plain: str, places: Sequence[int], pattern: re.Pattern[str], most: int
) -> Iterator[Span]:
    for match in islice(pattern.finditer(plain), most):
        start, end = match.span()
        word, at = match[0], places[start:end]
        if not word.isalnum():
            at = [each for each, letter in zip(at, word, strict=True) if letter.isalnum()]
            word = _SIGN.sub("", word)
        yield Span(word[:LONGEST], at[:LONGEST])


def number(phone: str | None) -> Number:
    if not phone:
        return Number("", "")
    text = folded(phone[:MOST_CHARACTERS])
    written = _NO_DIGIT.sub("", text)
    dialled = _NO_DIGIT.sub("", _TRUNK.sub("", text)) if "(" in text else written
    return Number(written[:LONGEST], dialled.lstrip("0")[:LONGEST])


def has_fragment(number: Number, fragment: Number) -> bool:
    """Whether a stored number has these digits, or is the fragment without its country's code."""
    for part in fragment:
        if part and (part in number.written or part in number.plain):
            return True
    code = len(fragment.plain) - len(number.plain)
    is_long_enough = len(number.plain) >= LEAST_NUMBER and 0 < code <= CODE
    return is_long_enough and fragment.plain.endswith(number.plain)
