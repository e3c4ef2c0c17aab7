"""Which parts of a name a query matched. Pure.

Rule: the parts of a name, put together, are the name, character by character.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.orgs.searching import terms as searching_terms

_WORD = re.compile(r"[^\W_]+")


class Part(NamedTuple):
    text: str
    is_match: bool


def parts(name: str, terms: Sequence[str]) -> list[Part]:
    """The name, cut where a match begins or ends."""
    found: list[Part] = []
    done = 0
    for begin, end in _matches(name, terms):
        if begin > done:
            found.append(Part(name[done:begin], is_match=False))
        found.append(Part(name[begin:end], is_match=True))
        done = end
    if done < len(name):
        found.append(Part(name[done:], is_match=False))
    return found


def _matches(name: str, terms: Sequence[str]) -> Iterator[tuple[int, int]]:
    words = list(_WORD.finditer(name))
    folded = ["".join(searching_terms.of_name(word.group())) for word in words]
    together = {place for term in terms for place in _run(folded, term)}
    for place, word in enumerate(words):
        met = (0, len(word.group())) if place in together else _met(folded[place], terms)
        if met is None:
            continue
        begin, end = met
        if len(searching_terms.of_name(word.group())[0]) != len(word.group()):
            yield word.span()  # letters that fold to several cannot be told apart
        else:
            yield word.start() + begin, word.start() + end


def _run(words: Sequence[str], term: str) -> range:
    """The places of two or more words that were typed as one, the last perhaps in part."""
    for first, word in enumerate(words):
        rest = term.removeprefix(word)
        if not rest or rest == term:
            continue
        for last in range(first + 1, len(words)):
            if words[last].startswith(rest):
                return range(first, last + 1)
            if not rest.startswith(words[last]):
                break
            rest = rest.removeprefix(words[last])
    return range(0)


def _met(word: str, terms: Sequence[str]) -> tuple[int, int] | None:
    """Position in the folded word of the longest term that matches it."""
    for term in sorted(terms, key=len, reverse=True):
        at = word.find(term)
        if at == 0 or (at > 0 and len(term) >= searching_terms.SHORTEST_INSIDE):
            return at, at + len(term)
    if any(searching_terms.mistakes(term, word) is not None for term in terms):
        return 0, len(word)
    return None
