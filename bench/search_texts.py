"""What people type into a search, by kind, made from the rows themselves; and the right result."""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from rapidfuzz.distance import OSA

from bench.people import FIRST
from services.query.searching import words

NAMES = [words.words(name)[0] for name in FIRST]
LETTERS = string.ascii_lowercase
DOMAIN = "domain"
LONGEST_BEGINNING = 8


@dataclass(frozen=True, slots=True)
class Row:
    contact_id: str
    name: str
    email: str | None
    phone: str | None
    organization: str | None


@dataclass(frozen=True, slots=True)
class Typed:
    """`meant` is the contact whose row the text was made from, if any, and `rightly` the text
    without its mistakes.
    """

    kind: str
    text: str
    meant: str | None
    rightly: str


def misspelt(word: str, random: Random) -> str:
    """One edit; two in a long word."""
    for _ in range(2 if len(word) >= 9 else 1):
        place = random.randrange(1, len(word) - 1)
        word = random.choice(
            (
                word[:place] + word[place + 1 :],
                word[:place] + random.choice(LETTERS) + word[place:],
                word[:place] + random.choice(LETTERS) + word[place + 1 :],
                word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            )
        )
    return word


def last_word(row: Row) -> str:
    return words.words(row.name)[-1]


def _longest(row: Row) -> str:
    return max(words.words(row.name), key=len)


def _typed_so_far(row: Row, random: Random) -> str:
    """Of a long word, what has been typed so far."""
    word, size = _longest(row), random.choice((6, 7, 8))
    return word[:size] if len(word) > size + 1 else ""


def _infix(row: Row, random: Random) -> str:
    word = _longest(row)
    start = random.randrange(1, max(2, len(word) - 4))
    return word[start : start + 5]


def _email_fragment(row: Row, _: Random) -> str:
    return row.email.split("@")[0] if row.email else ""


def _phone_fragment(row: Row, random: Random) -> str:
    """All of the number, its last digits, or some of it as it is written, in groups."""
    phone = row.phone or ""
    kind, size = random.random(), random.choice((5, 6, 7))
    if kind < 0.3:
        return phone
    if kind < 0.6:
        return words.number(phone).plain[-size:]
    start = random.randrange(max(1, len(phone) - size))
    piece = phone[start : start + size]
    return piece if sum(map(str.isdigit, piece)) > 3 else ""


MAKERS: dict[str, Callable[[Row, Random], str]] = {
    "common": lambda row, _: row.name.split(" ")[0],
    "rare": lambda row, _: row.name.split(" ")[-1],
    "prefix": lambda row, random: last_word(row)[: random.choice((3, 4, 5))],
    "infix": _infix,
    "misspelt": lambda row, _: _longest(row),
    "several words": lambda row, _: " ".join(reversed(row.name.split(" "))),
    "e-mail fragment": _email_fragment,
    "phone fragment": _phone_fragment,
    "organization": lambda row, _: " ".join((row.organization or "").split(" ")[:2]),
    "name and firm": lambda row, _: f"{row.organization or ''} {last_word(row)}",
    "misspelt prefix": _typed_so_far,
    "another's name": lambda row, _: " ".join(words.words(row.name)),
    DOMAIN: lambda row, _: "@" + row.email.rpartition("@")[2] if row.email else "",
}


def another_name(text: str, random: Random) -> str:
    """The first name one edit off, so that it is somebody else's; empty if nobody's is so near."""
    first, _, rest = text.partition(" ")
    near = [each for each in NAMES if OSA.distance(first, each) == 1]
    return f"{random.choice(near)} {rest}" if near and rest else ""


Slip = Callable[[str, Random], str]
SLIPS: dict[str, tuple[int, Slip]] = {
    "misspelt": (5, misspelt),
    "misspelt prefix": (6, misspelt),
    "another's name": (2, another_name),
}
"""Mistakes of a kind, and the least letters that it needs."""


def absent(random: Random) -> Typed:
    text = "".join(random.choices(LETTERS, k=random.randrange(5, 12)))
    return Typed("absent", text, None, text)


def typed(rows: Sequence[Row], each: int, random: Random) -> list[Typed]:
    """`each` texts of every kind."""
    found = [absent(random) for _ in range(each)]
    for kind, make in MAKERS.items():
        made = 0
        while made < each:
            row = random.choice(rows)
            rightly = make(row, random).strip()
            least, slip = SLIPS.get(kind, (2, lambda text, _: text))
            text = slip(rightly, random) if len(rightly) >= least else ""
            if not text:
                continue  # another row may have what this kind needs
            found.append(Typed(kind, text, row.contact_id, rightly))
            made += 1
    return found


def beginnings(rows: Sequence[Row], each: int, random: Random) -> list[Typed]:
    """Up to `each` of every length, of first names, which many have, and of last ones."""
    found: list[Typed] = []
    for kind, place in (("common", 0), ("rare", -1)):
        names = [words.words(row.name)[place] for row in rows]
        for size in range(1, LONGEST_BEGINNING + 1):
            different = list(dict.fromkeys(name[:size] for name in names if len(name) >= size))
            some = random.sample(different, min(each, len(different)))
            found += [Typed(f"{kind}, {size}", text, None, text) for text in some]
    return found
