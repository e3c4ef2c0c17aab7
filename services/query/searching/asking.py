"""What a search text asks for. Pure.

Rule 1: a text is a list of needs, all of which a contact must meet, in any order. A word is one.
Rule 2: digits written in groups, as in phone numbers, are one need. If they are few, they may be
        part of a number or words of a name: either will do.
Rule 3: digits are searched in numbers as typed, and without their leading zeros.
Rule 4: a word may also match spelt out (`words`, rule 6), or joined with the one before or after
        it: "mc donald" may mean McDonald. A contact that has the word as typed fits better.
Rule 5: an extension after a number is ignored: most numbers are stored without. So is what the
        text calls a number or an address (Tel.:), what a web address begins with, and "and"
        between two words, which may be a sign in the name. "(at)" in an address is @.
Rule 6: of adjacent syllables two neighbours make a word, so that their order counts; a single
        syllable will do, too.
Rule 7: what looks like the domain of an address, or of a part of one, may be it: its words are
        met by an address there, whatever else has them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final

from services.query.searching import words
from services.query.searching.words import Number

LEAST_DIGITS: Final = 3
LEAST_GROUPED: Final = 6
"""Least digits in groups that are nothing but a number: 'studio 54 7' may not mean a phone. What
begins as only phone numbers do, with 0 or +, needs no more than a fragment.
"""
MOST_NEIGHBOURS: Final = 8
"""Neighbours are also joined in texts of up to this many words."""
MOST_SYLLABLES: Final = 32
"""Adjacent syllables are also searched singly in texts of up to this many words."""

_NUMBER: Final = re.compile(r"(?<![a-z0-9@.])\+?\(?[0-9][0-9 ().+/-]*[0-9](?![a-z0-9@])")
_EXTENSION: Final = re.compile(
    r"((?:[0-9][ ().+/-]*){6,})[,;]?\s*(?:ext(?:ension|n)?|x|durchwahl|dw|int|poste)"
    r"[\s.:]*[0-9]{1,6}(?![a-z0-9@])",
    re.IGNORECASE,
)
_NUMBERS: Final = (
    r"(?:t[eé]l(?:[eé](?:f|ph)on[eo]?)?|phone|fon|mob(?:il|ile)?|cell|handy|fax"
    r"|\u0442\u0435\u043b|\u043c\u043e\u0431)"  # the last two: tel, mob in Cyrillic letters
)
_LABEL: Final = re.compile(
    rf"""(?<!\w)(?:(?:mailto|e-?mail|mail|{_NUMBERS}\.?)\s*:\s*
    |{_NUMBERS}[.\s]+(?=\+?\(?(?:[0-9][ ().+/-]*){{6}})
    |https?://(?:www\.)?|(?<![@.])www\.)""",
    re.IGNORECASE | re.VERBOSE,
)
_DOT: Final = re.compile(r"\s*[\[({]\s*(?:dot|punkt)\s*[\])}]\s*", re.IGNORECASE)
_AT: Final = re.compile(r"\s*[\[({]\s*at\s*[\])}]\s*(?=[a-z0-9_.-]+\.[a-z]{2})", re.IGNORECASE)
_MARK: Final = re.compile(r"[©®™℠](?!\w)")
_AND: Final = re.compile(r"(?<=\S)\s+(?:and|und|et|och)\s+(?=\S)", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z0-9]+")
_DOMAIN: Final = re.compile(
    r"""(?<![^\s<,;:("/])(?:[^\s@]*@)?((?:[a-z0-9_-]+\.)+[a-z]{2,})(?!\.?[^\s>,;)"?!/.])"""
)
_GROUPED: Final = re.compile(r"[^0-9]")


@dataclass(frozen=True, slots=True)
class Token:
    """`word` is empty for a number in groups, and for a domain; `number` null for what cannot be
    part of one. What was not typed this way is only matched plainly.
    """

    word: str
    number: Number | None
    is_typed: bool = True
    domain: str = ""


Way = tuple[Token, ...]
"""Tokens that a contact must have together."""

Need = tuple[Way, ...]
"""Alternatives, one of which must be met."""


@dataclass(frozen=True)
class Asked:
    needs: tuple[Need, ...]
    is_address: bool = False

    @cached_property
    def domains(self) -> frozenset[str]:
        return frozenset(token.domain for token in self.tokens if token.domain)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Those of all ways."""
        return tuple(dict.fromkeys(t for need in self.needs for way in need for t in way))


def parse(text: str) -> Asked:
    """No needs if there is nothing to search for."""
    text = _cleaned(text)
    plain = words.folded(text)
    needs: dict[Need, None] = {}
    rest = _NUMBER.sub(lambda found: _taken(found[0], needs), plain)
    spelt = _NUMBER.sub(lambda found: _taken(found[0], needs), words.spelt_out(text))
    found = list(_WORD.finditer(rest))
    domains = list(_DOMAIN.finditer(rest))
    known: set[str] = set()
    for place, (match, other) in enumerate(zip(found, words.of_folded(spelt), strict=True)):
        word = match[0][: words.LONGEST]
        if word not in known:
            known.add(word)
            together = _neighbours(found, place)
            is_long = len(found) > MOST_SYLLABLES
            need = _need(_worded(word), other, together, is_long=is_long)
            needs[need + tuple(_domain(each) for each in domains if _has(each, match[0]))] = None
    return Asked(tuple(needs), "@" in plain)


def _cleaned(text: str) -> str:
    """Without what is written for people."""
    text = _AND.sub(" & ", _MARK.sub(" ", text))
    text = _AT.sub("@", _DOT.sub(".", text))
    return _EXTENSION.sub(r"\1", _LABEL.sub("", text))


def _neighbours(found: Sequence[re.Match[str]], place: int) -> Iterator[Token]:
    """The word joined with the previous one, and with the next one."""
    for first, second in pairwise(found[max(0, place - 1) : place + 2]):
        in_row = first.string[first.end() : second.start()] == words.SYLLABLE
        if in_row or len(found) <= MOST_NEIGHBOURS:
            yield Token((first[0] + second[0])[: words.LONGEST], None, is_typed=in_row)


def _has(domain: re.Match[str], word: str) -> bool:
    return word in _WORD.findall(domain[1])


def _domain(found: re.Match[str]) -> Way:
    return (Token("", None, is_typed=False, domain=words.domain(f"@{found[1]}")),)


def _need(word: Token, spelt: str, together: Iterable[Token], *, is_long: bool) -> Need:
    tokens = dict.fromkeys(together)
    if any(each.is_typed for each in tokens):  # one of adjacent syllables
        alone = () if is_long else (replace(word, is_typed=False),)
        return tuple((each,) for each in (*tokens, *alone))
    other = [Token(spelt, None, is_typed=False)] if spelt != word.word else []
    return tuple((each,) for each in (word, *other, *tokens))


def _taken(written: str, needs: dict[Need, None]) -> str:
    """The text without `written` if that may be a number in groups, else the text itself."""
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
    """Null if it has too few digits to search for."""
    number = words.number(written)
    if len(number.written) < LEAST_DIGITS:
        return None
    return number if len(number.plain) >= LEAST_DIGITS else Number(number.written, "")


def certain_runs(fragment: Number | None) -> list[str]:
    """Runs of digits, one of which every stored number has that contains the fragment; the country
    code may be missing there.
    """
    if fragment is None:
        return []
    code = min(words.CODE, max(0, len(fragment.plain) - words.LEAST_NUMBER))
    runs = [fragment.plain[code:]] if fragment.plain else []
    return runs if fragment.written == fragment.plain else [*runs, fragment.written]
