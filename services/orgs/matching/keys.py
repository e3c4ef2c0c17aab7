"""What of an organization is compared besides its normalized name. Pure.

Rule 1: the core key is the name in plain Latin words without its legal forms; normalizing it again
        changes nothing, and it is empty only where the normalized name is.
Rule 2: an empty key matches nothing.
Rule 3: a name longer than any real one is compared only as a whole.
Rule 4: an address counts as the name that it consists of ("acme.com"), and notes beside a name
        ("Acme (old)", "DUPLICATE: Acme") are not part of it.
Rule 5: whoever stores a derived key stores KEYS_VERSION with it. It must be raised whenever a
        name, a website or a place would give a different key.
"""

import re
from dataclasses import dataclass

from services.orgs import names
from services.orgs.matching import domain, legal_forms, notes, words
from services.orgs.matching.legal_forms import NO_FORM, LegalForm

KEYS_VERSION = 7
LONGEST_COMPARED = 500
"""Most characters of a normalized name that is split into words. Pipedrive and registers stop at
about 250; comparing costs the product of two names' words, while a tenant's lock is held.
"""

_DIGITS = re.compile(r"\d{1,18}")
_ROMAN_UNITS = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
_ROMAN = {
    "x" * tens + units: tens * 10 + unit
    for tens in range(4)
    for unit, units in enumerate(_ROMAN_UNITS)
    if tens + len(units) > 1
}
"""II to XXXIX; the next ones begin with letters that are as often sizes or initials ("XL")."""
_ROMAN_AT_THE_END = {"i": 1, "v": 5, "x": 10}
"""Single letters are numerals only as a name's last word: "Fund V", not "V Hotels"."""


@dataclass(frozen=True, slots=True)
class NameKeys:
    normalized: str = ""
    core: str = ""
    words: tuple[str, ...] = ()
    form: LegalForm = NO_FORM
    numbers: frozenset[int] = frozenset()
    inner: LegalForm = NO_FORM
    """A form inside the name, which counts as one of its words."""

    def forms_contradict(self, other: "NameKeys") -> bool:
        """A form inside counts if there is none at the ends, and it is not in both names."""
        if self.form.kinds and other.form.kinds:
            return self.form.contradicts(other.form)
        if self.inner == other.inner:
            return False
        own, others = (name.form if name.form.kinds else name.inner for name in (self, other))
        return own.contradicts(others)


NO_NAME = NameKeys()


def of_name(name: str | None) -> NameKeys:
    normalized = names.normalized(name)
    if not name or not normalized:
        return NO_NAME
    if len(normalized) > LONGEST_COMPARED:
        return NameKeys(normalized, normalized)
    rest, form = legal_forms.taken_off(words.split(_with_forms_apart(_meant(name))))
    if not rest:
        return NameKeys(normalized, normalized)
    inner = legal_forms.inside(rest)
    return NameKeys(normalized, " ".join(rest), rest, form, numbers(rest), inner)


def core_key(name: str | None) -> str:
    return of_name(name).core


def numbers(name_words: tuple[str, ...]) -> frozenset[int]:
    """The numbers in a name, in digits or as Roman numerals after its first word."""
    found = {
        int(digits)
        for word in name_words
        if not word.isalpha()
        for digits in _DIGITS.findall(word)
    }
    found |= {_ROMAN[word] for word in name_words[1:] if word in _ROMAN}
    if len(name_words) > 1 and name_words[-1] in _ROMAN_AT_THE_END:
        found.add(_ROMAN_AT_THE_END[name_words[-1]])
    return frozenset(found)


def _meant(name: str) -> str:
    """The name without notes, and without what makes it an address."""
    text = domain.without_suffixes(name) if "." in name else name
    kept = notes.taken_off(text)
    return kept if kept == name or names.normalized(kept) else name


def _with_forms_apart(name: str) -> str:
    return name if name.isascii() else legal_forms.spaced(words.folded(name))
