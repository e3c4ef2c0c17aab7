"""Strips legal forms from a name's ends. Pure.

Rule 1: the longest form at the end goes first, then those that may precede a name, until neither
        end is a form. The last word always stays: "Limited" alone is a name.
Rule 2: the class is that of the last form of a known kind; kinds that can't be the same company
        contradict each other, a missing one contradicts none.
Rule 3: a form inside a name ("Acme GmbH Berlin") is part of the name; its kind counts all the
        same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from cleanco.termdata import terms_by_country, terms_by_type

from services.orgs.matching import words
from services.orgs.matching.form_table import FORMS, UNSAID, UNSPACED

_SHORTEST_BORROWED = 3
"""Two-letter terms of cleanco's ("et", "da", "co") are too often ordinary words."""

_CUT_SHORT = """
ad ae as bm bt ee eu hb hf ip is kb ks lc oe ou pc ps rt sci spc tas too uc
"""
_RATHER_WORDS = frozenset((word,) for word in _CUT_SHORT.split())
"""Inside a name these are more often initials, or words cut short, than forms."""

_ARTICLE = "the"


@dataclass(frozen=True, slots=True)
class LegalForm:
    """`spelling` stands for all of the form's spellings; empty if the name has no form."""

    spelling: str = ""
    kinds: frozenset[str] = UNSAID

    def contradicts(self, other: "LegalForm") -> bool:
        return bool(self.kinds and other.kinds and not self.kinds & other.kinds)


NO_FORM = LegalForm()


@dataclass(frozen=True, slots=True)
class Forms:
    """Forms by their words: at the end of a name, before it, and inside. `last`, `leading` and
    `first` are the words that these end, begin and begin with: most names have none of them.
    """

    after: dict[tuple[str, ...], LegalForm]
    before: dict[tuple[str, ...], LegalForm]
    inside: dict[tuple[str, ...], LegalForm]
    last: frozenset[str]
    leading: frozenset[str]
    first: frozenset[str]
    longest: int


@cache
def known() -> Forms:
    after: dict[tuple[str, ...], LegalForm] = {}
    before: dict[tuple[str, ...], LegalForm] = {}
    for spelling, kinds, leads, spellings in FORMS:
        form = LegalForm(spelling, kinds)
        for written in spellings.split(";"):
            after.setdefault(words.split(written), form)
            if leads:
                before.setdefault(words.split(written), form)
    for term in _borrowed():
        written_words = words.split(term)
        if len("".join(written_words)) >= _SHORTEST_BORROWED:
            after.setdefault(written_words, LegalForm("".join(written_words)))
    inside = {
        written: form
        for written, form in after.items()
        if form.kinds and written not in _RATHER_WORDS
    }
    return Forms(
        after,
        before,
        inside,
        last=frozenset(written[-1] for written in after),
        leading=frozenset(written[0] for written in before),
        first=frozenset(written[0] for written in inside),
        longest=max(map(len, after)),
    )


def is_form(word: str) -> bool:
    """Whether a single word is a form of a known kind."""
    form = known().after.get((word,))
    return form is not None and bool(form.kinds)


def is_any(word: str) -> bool:
    """Whether a single word is a form, of whatever kind."""
    return (word,) in known().after


def taken_off(name_words: Sequence[str]) -> tuple[tuple[str, ...], LegalForm]:
    """What is left of a name without its legal forms, and the form that counts."""
    forms = known()
    rest = tuple(name_words)
    found = NO_FORM
    while True:
        cut, form = _last(rest, forms)
        if not cut:
            break
        rest = rest[:-cut]
        found = _weightier(found, form)
    while True:
        cut, form = _first(rest, forms)
        if not cut:
            return rest, found
        rest = rest[cut:]
        found = _weightier(found, form)


def inside(rest: tuple[str, ...]) -> LegalForm:
    """The first form of a known kind within what is left of a name; of adjacent ones the last."""
    forms = known()
    found = NO_FORM
    start = 1
    while start < len(rest):
        size, form = _at(rest, start, forms)
        if not size and found.kinds:
            break
        found = form
        start += size or 1
    return found


def spaced(text: str) -> str:
    """The text in Latin letters, with spaces around forms that its script glues to a name."""
    text = text.strip()
    apart: list[str] = []
    again = True
    while again:
        again = False
        for native, latin in _unspaced():
            rest = text.removeprefix(native).removesuffix(native).strip()
            if rest and len(rest) < len(text):
                text, again = rest, True
                apart.append(latin)
    return " ".join((text, *reversed(apart)))


@cache
def _unspaced() -> tuple[tuple[str, str], ...]:
    return tuple((words.folded(native), latin) for native, latin in UNSPACED)


def _last(rest: tuple[str, ...], forms: Forms) -> tuple[int, LegalForm]:
    if rest and rest[-1] in forms.last:
        for size in range(min(forms.longest, len(rest) - 1), 0, -1):
            form = forms.after.get(rest[-size:])
            if form is not None:
                return size, form
    return 0, NO_FORM


def _first(rest: tuple[str, ...], forms: Forms) -> tuple[int, LegalForm]:
    if len(rest) > 1 and rest[0] == _ARTICLE:
        return 1, NO_FORM
    if rest and rest[0] in forms.leading:
        for size in range(min(forms.longest, len(rest) - 1), 0, -1):
            form = forms.before.get(rest[:size])
            if form is not None:
                return size, form
    return 0, NO_FORM


def _at(rest: tuple[str, ...], start: int, forms: Forms) -> tuple[int, LegalForm]:
    if rest[start] in forms.first:
        for size in range(min(forms.longest, len(rest) - start), 0, -1):
            form = forms.inside.get(rest[start : start + size])
            if form is not None:
                return size, form
    return 0, NO_FORM


def _weightier(found: LegalForm, form: LegalForm) -> LegalForm:
    return form if form.kinds and not found.kinds else found


def _borrowed() -> Iterable[str]:
    for terms in (*terms_by_type.values(), *terms_by_country.values()):
        yield from terms
