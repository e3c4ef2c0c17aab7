"""A name as words of plain Latin letters and digits. Pure.

Rule 1: look-alikes are folded (NFKC), all alphabets transliterated, case removed.
Rule 2: `&` and `+` mean "and"; dotted or slashed initials are one word (S.p.A., A/S); an
        apostrophe joins, any other mark separates.
Rule 3: a word without a transliteration stays as it is: no letter or digit is ever lost.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from anyascii import anyascii

_JOINERS = "'`´‘’ʼʻ׳״\""  # noqa: RUF001  these are the look-alikes that names are typed with
_AND = re.compile(r"[&+]")
_INITIALS = re.compile(r"(?<![^\W_])[^\W\d_](?:\.[ ]?[^\W\d_])+(?![^\W_])\.?")
_SLASHED = re.compile(r"(?<![^\W_])([^\W\d_])/([^\W\d_])(?![^\W_])")
_WORD_OF_ASCII = re.compile(r"[a-z0-9]+")
_FOREIGN_TO_WORDS = re.compile(r"[^a-z0-9]+")


def split(name: str) -> tuple[str, ...]:
    """The words of a name; empty only if it has no letter and no digit."""
    text = name if name.isascii() else folded(name)
    if "&" in text or "+" in text:
        text = _AND.sub(" and ", text)
    if "." in text:
        text = _INITIALS.sub(_undotted, text)
    if "/" in text:
        text = _SLASHED.sub(r"\1\2", text)
    if text.isascii():
        return tuple(_WORD_OF_ASCII.findall(text.lower().replace("'", "").replace('"', "")))
    return tuple(_latin(word) for word in "".join(_spaced(text)).split())


def folded(name: str) -> str:
    """Case is folded before and after, so that folding twice changes nothing."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _undotted(found: re.Match[str]) -> str:
    return found.group().replace(".", "").replace(" ", "") + " "


def _spaced(text: str) -> Iterator[str]:
    in_word = False
    for char in text:
        if char.isalnum() or (in_word and unicodedata.category(char)[0] == "M"):
            in_word = True
            yield char
        elif char not in _JOINERS:
            in_word = False
            yield " "


@lru_cache(maxsize=65_536)
def _latin(word: str) -> str:
    if word.isascii():
        return word.lower()
    return _FOREIGN_TO_WORDS.sub("", anyascii(word).lower()) or word
