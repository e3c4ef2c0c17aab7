"""Spellings of a name as people and other systems would write it, for fitting on all kinds.

Each spelling is one or two changes away: forms, case, accents, typing errors, abbreviations,
words left out, joined or moved, a cut at the end.
"""

import unicodedata
from collections.abc import Callable
from random import Random

from anyascii import anyascii

from services.orgs.matching import meanings
from services.orgs.matching.rarity import COMMON

LONG_WORD = 5
SHORT_FORMS = {
    "international": "intl", "company": "co", "corporation": "corp", "limited": "ltd",
    "incorporated": "inc", "manufacturing": "mfg", "services": "svcs", "service": "svc",
    "association": "assn", "management": "mgmt", "holdings": "hldgs", "holding": "hldg",
    "group": "grp", "technologies": "tech", "technology": "tech", "industries": "ind",
    "national": "natl", "brothers": "bros", "department": "dept", "university": "univ",
    "engineering": "eng", "development": "dev", "financial": "finl", "systems": "sys",
    "gesellschaft": "ges", "deutsche": "dt", "private": "pvt", "center": "ctr", "centre": "ctr",
    "insurance": "ins", "pharmaceuticals": "pharma", "laboratories": "labs", "america": "amer",
}  # fmt: skip
EXTRA = ("The", "Group", "Holding", "Inc", "Ltd", "GmbH", "International", "Company", "Co.", "AG")

Change = Callable[[list[str], Random], list[str]]


def respelt(name: str, random: Random) -> str:
    words = name.split()
    for change in random.sample(CHANGES, k=random.choice((1, 1, 2))):
        words = change(words, random) or words
    return " ".join(words)


def _typing_error(words: list[str], random: Random) -> list[str]:
    long = [i for i, word in enumerate(words) if len(word) >= LONG_WORD]
    if not long:
        return words
    at = random.choice(long)
    word = words[at]
    place = random.randrange(1, len(word) - 1)
    letter = random.choice("abcdefghijklmnoprstuvwyz")
    wrong = random.choice(
        (
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place:],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        )
    )
    return [*words[:at], wrong, *words[at + 1 :]]


def _case(words: list[str], random: Random) -> list[str]:
    return [random.choice((str.upper, str.lower, str.title))(" ".join(words))]


def _no_accents(words: list[str], _random: Random) -> list[str]:
    decomposed = unicodedata.normalize("NFD", " ".join(words))
    return anyascii(decomposed).split()


def _umlauts_in_two_letters(words: list[str], _random: Random) -> list[str]:
    pairs = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
    return "".join(pairs.get(char, char) for char in " ".join(words)).split()


def _without_last(words: list[str], _random: Random) -> list[str]:
    return words[:-1] if len(words) > 1 else words


def _short_forms(words: list[str], _random: Random) -> list[str]:
    return [SHORT_FORMS.get(word.lower().strip(".,"), word) for word in words]


def _cut_words(words: list[str], random: Random) -> list[str]:
    return [
        word[: random.randrange(3, 7)] + "." if len(word) > 7 and random.random() < 0.5 else word
        for word in words
    ]


def _cut(words: list[str], random: Random) -> list[str]:
    return " ".join(words)[: random.randrange(16, 26)].split()


def _without_common(words: list[str], _random: Random) -> list[str]:
    return [
        word for word in words if meanings.in_one_language(word.lower().strip(".,")) not in COMMON
    ]


def _joined(words: list[str], random: Random) -> list[str]:
    if len(words) < 2:
        return words
    at = random.randrange(len(words) - 1)
    glue = random.choice(("", "-"))
    return [*words[:at], f"{words[at]}{glue}{words[at + 1]}", *words[at + 2 :]]


def _ampersand(words: list[str], _random: Random) -> list[str]:
    swapped = {"&": "and", "and": "&", "And": "&", "AND": "&", "und": "&"}
    return [swapped.get(word, word) for word in words]


def _moved(words: list[str], _random: Random) -> list[str]:
    return [*words[1:], words[0]]


def _extra(words: list[str], random: Random) -> list[str]:
    word = random.choice(EXTRA)
    return [word, *words] if word == "The" else [*words, word]


CHANGES: tuple[Change, ...] = (
    _typing_error,
    _typing_error,
    _case,
    _no_accents,
    _umlauts_in_two_letters,
    _without_last,
    _short_forms,
    _cut_words,
    _cut,
    _without_common,
    _joined,
    _ampersand,
    _moved,
    _extra,
)
