"""Which parts of a contact's text matched. Pure.

Rule: a highlight is a range of the displayed text, in UTF-16 code units, which is how JavaScript
      counts; ranges of one text neither touch nor overlap.
"""

from collections.abc import Iterable, Iterator

from services.query.searching import matching, words
from services.query.searching.asking import Asked, Token
from services.query.searching.matching import Reach, Wide
from services.query.searching.words import Number, Span

Range = tuple[int, int]


def of_name(text: str | None, asked: Asked, wide: Wide) -> list[list[int]]:
    """In the name of a person or of an organization."""
    return _of_spans(text or "", words.spans_of_name(text), asked, wide)


def of_email(text: str | None, asked: Asked, wide: Wide) -> list[list[int]]:
    return _of_spans(text or "", words.spans(text), asked, wide)


def _of_spans(text: str, spans: Iterable[Span], asked: Asked, wide: Wide) -> list[list[int]]:
    found: list[Range] = []
    having = list(spans)
    held = {span.word for span in having}
    for token in asked.tokens:
        is_joined = token.is_typed and wide.get(token, Reach.MISSPELT) >= Reach.INSIDE
        pieces = matching.run_together(token.word, held) if is_joined else ()
        for span in having:
            part = _part(token, span.word, wide)
            if span.word in pieces:
                part = 0, len(span.word)
            if part is not None:
                end = words.end_of_letter(text, span.places[part[1] - 1])
                found.append((span.places[part[0]], end))
    return _in_utf16(text, _merged(found))


def of_number(text: str | None, asked: Asked) -> list[list[int]]:
    """In a phone number."""
    if not text:
        return []
    number = words.number(text)
    fragments = [t.number for t in asked.tokens if t.number is not None]
    fragments = [each for each in fragments if words.has_fragment(number, each)]
    found = [part for each in fragments for part in _in_number(text, number, each)]
    return _in_utf16(text, _merged(found))


def _part(token: Token, word: str, wide: Wide) -> Range | None:
    """The letters of a word that match a token; a misspelt word, or beginning, as a whole."""
    if not token.word:
        return None
    if word.startswith(token.word):
        return 0, len(token.word)
    if token not in wide or not token.is_typed:
        return None
    level = matching.word_level(token.word, word, wide[token])
    if level == matching.INSIDE:
        start = word.index(token.word)
        return start, start + len(token.word)
    if level is None:
        return None
    return 0, matching.misspelt_letters(token.word, word)


def _in_number(text: str, number: Number, fragment: Number) -> Iterator[Range]:
    """Where the fragment's digits are, whatever is between them."""
    places = [place for place, letter in enumerate(text) if words.folded(letter).isdigit()]
    digits = "".join(words.folded(text[place]) for place in places)
    candidates = (fragment.plain, fragment.written, number.plain)
    part = next((each for each in candidates if each and each in digits), None)
    if part is None or len(digits) != len(places):
        yield 0, len(text)
    else:
        start = digits.index(part)
        yield places[start], places[start + len(part) - 1] + 1


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _in_utf16(text: str, ranges: Iterable[Range]) -> list[list[int]]:
    if text.isascii():
        return [list(each) for each in ranges]
    return [[_units(text[:start]), _units(text[:end])] for start, end in ranges]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
