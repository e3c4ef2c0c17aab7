"""Turns text into the words it is found by. Pure.

Rule 1: letters of every alphabet become a-z, each by itself, so that every place in the folded
        text has a place in the original; case, accents and apostrophes are dropped.
Rule 2: folding twice is folding once.
Rule 3: a word is a run of letters and digits; words that are too long or too many are left out.
Rule 4: parts of a name that only a sign joins are one word, too: Jean-Pierre, AT&T, A.B.C.
Rule 5: a syllable character, Chinese or Korean, is a word, and so are two neighbours and the whole
        run: a search for 王 does not mean Wanger.
Rule 6: a name with ä, ö, ü, ø or å is also spelt out: Mueller beside Muller.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from anyascii import anyascii

LONGEST: Final = 40
MOST_WORDS: Final = 32
MOST_JOINED: Final = 8
MOST_CHARACTERS: Final = 1000
LEAST_NUMBER: Final = 6
"""A stored phone number with fewer digits is itself a fragment."""
LEAST_END: Final = 10
"""Numbers that share this many last digits are the same."""
MOST_LETTERS: Final = 32_768
"""Remembered: more than are in use at one place, and not all that somebody could send."""
CODE: Final = 3
"""Most digits of a country code."""

SYLLABLE: Final = "~"
"""Follows the letters of a syllable."""

_WORD: Final = re.compile(r"[a-z0-9]+")
_JOINED: Final = re.compile(r"[a-z0-9]+(?:[-&.+/_~][a-z0-9]+)+")
_PAIR: Final = re.compile(r"(?<![a-z0-9])(?=([a-z0-9]+~[a-z0-9]+)~)")
_SYLLABLES: Final = re.compile("[\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]")
_MARKS: Final = "\u0300-\u036f\u3099\u309a"
_JAMO: Final = "[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?"
_APART: Final = re.compile(f"[{_MARKS}\u1100-\u1112]")
_MARKED: Final = re.compile(f"{_JAMO}|.[{_MARKS}]+", re.DOTALL)
"""A letter of several characters: with combining accents, or a syllable in its sounds."""
_LETTER: Final = re.compile(f"{_JAMO}|.[{_MARKS}]*", re.DOTALL)
_PICTURES: Final = re.compile("[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]")
_SPELT: Final = re.compile("[äöüøåÄÖÜØÅ]")
_SPELLINGS: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}
    | {"Ä": "ae", "Ö": "oe", "Ü": "ue", "Ø": "oe", "Å": "aa"}
)
_SIGN: Final = re.compile(r"[^a-z0-9]")
_NO_DIGIT: Final = {letter: None for letter in range(128) if not chr(letter).isdigit()}
_TRUNK: Final = re.compile(r"\(\s*0\s*\)")
_APOSTROPHES: Final = str.maketrans("", "", "'`")


class Span(NamedTuple):
    """A word, and for each of its letters the position of its source character."""

    word: str
    places: Sequence[int]


class Number(NamedTuple):
    """The digits of a phone number, or of a part of one: all of them, and those without the
    international or trunk prefix.
    """

    written: str
    plain: str


class _Letters(dict[int, str | None]):
    """What each letter becomes, worked out when it is first met: a text of known letters is
    folded in one pass.
    """

    def __missing__(self, code: int) -> str | None:
        became = _latin(chr(code))
        if len(self) < MOST_LETTERS:
            self[code] = became
        return became


def _latin(letter: str) -> str:
    """Without emoji, whose names nobody types."""
    if _PICTURES.match(letter):
        return " "
    plain = anyascii(letter).lower().translate(_APOSTROPHES)
    return plain + SYLLABLE if _SYLLABLES.match(letter) else plain


_FOLDED: Final = _Letters()
_SPELT_OUT: Final = _Letters(_SPELLINGS)


def folded(text: str) -> str:
    return _composed(text).translate(_FOLDED)


def spelt_out(text: str) -> str:
    """Folded with ä, ö, ü, ø and å as written on keyboards without them; the number of words
    stays.
    """
    return _composed(text).translate(_SPELT_OUT)


def _composed(text: str) -> str:
    if text.isascii() or _APART.search(text) is None:
        return text
    return _MARKED.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)


def words(text: str | None) -> list[str]:
    """The words in order, with duplicates."""
    return of_folded(folded(text[:MOST_CHARACTERS]))[:MOST_WORDS] if text else []


def several(text: str | None) -> int:
    """How many different words it has."""
    return len(set(words(text)))


def domain(address: str | None) -> str:
    """Its words with dots between; empty if there is none."""
    return ".".join(words(address.rpartition("@")[2])) if address and "@" in address else ""


def of_folded(plain: str) -> list[str]:
    """All words of a folded text, however many."""
    return [word[:LONGEST] for word in _WORD.findall(plain)]


def of_name(text: str | None) -> list[str]:
    """The words of a name, then those added by rules 4 to 6."""
    if not text:
        return []
    text = text[:MOST_CHARACTERS]
    found = _of_form(folded(text))
    if _is_spelt_out(text):
        found += [word for word in _of_form(spelt_out(text)) if word not in found]
    return found


def _is_spelt_out(text: str) -> bool:
    """Whether rule 6 adds words."""
    return not text.isascii() and _SPELT.search(_composed(text)) is not None


def _of_form(plain: str) -> list[str]:
    return [*of_folded(plain)[:MOST_WORDS], *_held_together(plain)]


def _held_together(plain: str) -> list[str]:
    runs = [match[0] for match in islice(_JOINED.finditer(plain), MOST_JOINED)]
    if SYLLABLE in plain:
        runs += [match[1] for match in islice(_PAIR.finditer(plain), MOST_WORDS)]
    return [_SIGN.sub("", found)[:LONGEST] for found in runs]


def spans(text: str | None) -> list[Span]:
    """The words of `words`, with their places."""
    return list(_placed(*_unfolded(text, folded), _WORD, MOST_WORDS)) if text else []


def spans_of_name(text: str | None) -> list[Span]:
    """The words of `of_name`, with their places."""
    if not text:
        return []
    found = _spans_of_form(text, folded)
    if _is_spelt_out(text):
        known = {span.word for span in found}
        found += [each for each in _spans_of_form(text, spelt_out) if each.word not in known]
    return found


def _spans_of_form(text: str, fold: Callable[[str], str]) -> list[Span]:
    plain, places = _unfolded(text, fold)
    found = [
        *_placed(plain, places, _WORD, MOST_WORDS),
        *_placed(plain, places, _JOINED, MOST_JOINED),
    ]
    return found + list(_placed(plain, places, _PAIR, MOST_WORDS)) if SYLLABLE in plain else found


def _unfolded(text: str, fold: Callable[[str], str]) -> tuple[str, Sequence[int]]:
    """The folded text, and the original position of each of its letters."""
    text = text[:MOST_CHARACTERS]
    plain = fold(text)
    if text.isascii() and len(plain) == len(text):  # letter by letter costs ten times as much
        return plain, range(len(plain))
    places: list[int] = []
    parts: list[str] = []
    for place, letter in _letters(text):
        part = fold(letter)
        parts.append(part)
        places.extend([place] * len(part))
    return "".join(parts), places


def _letters(text: str) -> Iterable[tuple[int, str]]:
    if _APART.search(text) is None:
        return enumerate(text)
    return ((letter.start(), letter[0]) for letter in _LETTER.finditer(text))


def end_of_letter(text: str, place: int) -> int:
    """The end of the letter that begins there, with its combining marks."""
    letter = _LETTER.match(text, place)
    return letter.end() if letter else place + 1


def _placed(
    plain: str, places: Sequence[int], pattern: re.Pattern[str], most: int
) -> Iterator[Span]:
    for match in islice(pattern.finditer(plain), most):
        start, end = match.span(pattern.groups)
        word, at = plain[start:end], places[start:end]
        if not word.isalnum():
            at = [each for each, letter in zip(at, word, strict=True) if letter.isalnum()]
            word = _SIGN.sub("", word)
        yield Span(word[:LONGEST], at[:LONGEST])


def number(phone: str | None) -> Number:
    if not phone:
        return Number("", "")
    text = phone[:MOST_CHARACTERS]
    if not text.isascii():
        text = folded(text)
    written = text.translate(_NO_DIGIT)
    dialled = _TRUNK.sub("", text).translate(_NO_DIGIT) if "(" in text else written
    return Number(written[:LONGEST], dialled.lstrip("0")[:LONGEST])


def has_fragment(number: Number, fragment: Number) -> bool:
    """Whether a stored number contains these digits, or is the fragment without its country code,
    or ends like the fragment: +7 495 … is dialled 8 495 … in its country.
    """
    for part in fragment:
        if part and (part in number.written or part in number.plain):
            return True
    code = len(fragment.plain) - len(number.plain)
    is_long_enough = len(number.plain) >= LEAST_NUMBER and 0 < code <= CODE
    if is_long_enough and fragment.plain.endswith(number.plain):
        return True
    apart = min(CODE, len(fragment.plain) - LEAST_END)
    return apart > 0 and number.plain.endswith(fragment.plain[apart:])
