"""Cuts names and queries into words that match, misspelt ones too. Pure.

Rule 1: a name and a query are folded alike: all alphabets become plain letters, accents and case
        go, any mark separates.
Rule 2: a word of 4 to 7 letters may have one mistake (a letter too many, too few, wrong, or two
        swapped), a longer one two. The last letters may not have been typed yet. Numbers may have
        none: the next number is another organization's.
Rule 3: a mistake of one letter among a word's first five letters, and any beyond them, is found
        by a token that both spellings share: each begins with five letters that differ by one.
Rule 4: FOLD_VERSION must be raised whenever a name would be cut differently; names cut under
        another version are cut again when a worker starts, and every hour after that.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from rapidfuzz.distance import OSA

from services.orgs.matching import legal_forms, words
from services.orgs.matching.rarity import CONNECTING

FOLD_VERSION = 3
LONGEST_FOLDED = 240
LONGEST_WORD = 48
MOST_WORDS = 32
MOST_TERMS = 8

FEWEST_INITIALS, MOST_INITIALS = 3, 8

SHORTEST_INSIDE = 3
SHORTEST_RUN = 5
"""Least letters and digits that may be several words typed as one."""
SHORTEST_MISSPELT = 4
TWO_MISTAKES_FROM = 8
BEGINNINGS = (4, 5)
"""Lengths of the compared beginnings: four for words of which no more was typed."""


def of_name(name: str | None) -> tuple[str, ...]:
    """The words of a name, in order; none if it has no letter and no digit."""
    found = words.split((name or "")[: 4 * LONGEST_FOLDED])[:MOST_WORDS]
    return tuple(word[:LONGEST_WORD] for word in found)


def initials(name_words: Sequence[str]) -> tuple[str, ...]:
    """Initials by which a name of several words may be known: a word or none."""
    named, _ = legal_forms.taken_off(name_words)
    said = [word for word in named if word not in CONNECTING]
    if not FEWEST_INITIALS <= len(said) <= MOST_INITIALS:
        return ()
    return ("".join(word[0] for word in said),)


def of_query(text: str) -> tuple[str, ...]:
    return of_name(text)[:MOST_TERMS]


def folded(name_words: Iterable[str]) -> str:
    """Words as one text, each preceded by a blank."""
    return "".join(f" {word}" for word in name_words)[:LONGEST_FOLDED]


def popularity(contacts: int) -> int:
    return max(contacts, 0).bit_length()


def after(beginning: str) -> str:
    """The end of the range of texts with this beginning: after all of them, before all others."""
    return beginning + "\U0010ffff"


def next_to(word: str) -> str:
    """The end of the range that holds this word only."""
    return word + "\x01"


def of_word(company_id: int, word: str) -> list[int]:
    """The tokens by which a word of the tenant's is found."""
    pieces = {f"g{gram}" for gram in _grams(word)}
    if len(word) >= SHORTEST_MISSPELT - 1:
        for length in BEGINNINGS:
            pieces |= {f"b{variant}" for variant in _variants(word[:length])}
    return _hashed(company_id, pieces)


def inside(company_id: int, term: str) -> list[int]:
    """Tokens that every word with the term inside has; none if the term is too short for it."""
    return _hashed(company_id, {f"g{gram}" for gram in _grams(term)})


def beginnings(company_id: int, term: str) -> list[int]:
    """Tokens, one of which every word has that the term may be a misspelling of."""
    if not _may_be_misspelt(term):
        return []
    variants = _variants(term[: max(BEGINNINGS)])
    return _hashed(company_id, {f"b{variant}" for variant in variants})


def cut(word: str) -> tuple[str, ...]:
    """The beginnings that a word is abbreviated to."""
    return tuple(word[:length] for length in range(SHORTEST_MISSPELT, len(word)))


def run_together(term: str) -> tuple[str, ...]:
    """The words that begin a name whose first words were typed as one; none if the term is too
    short for that. A single letter begins too many names.
    """
    if len(term) < SHORTEST_RUN:
        return ()
    return tuple(
        b for length in range(1, len(term)) if not (b := term[:length]).isalpha() or length > 1
    )


def mistakes(term: str, word: str) -> int | None:
    """Mistakes between the term and the word or its beginning; null if too many."""
    return _mistakes(term, word) if _may_be_misspelt(term) else None


def meant(term: str, words: Iterable[str]) -> dict[str, int]:
    """The words that the term may be meant as, nearest first, with the number of mistakes."""
    if not _may_be_misspelt(term):
        return {}
    counted = ((_mistakes(term, word), word) for word in words)
    nearest = sorted((count, word) for count, word in counted if count is not None)
    return {word: count for count, word in nearest}


def _mistakes(term: str, word: str) -> int | None:
    allowed = 2 if len(term) >= TWO_MISTAKES_FROM else 1
    shortest = max(len(term) - allowed, SHORTEST_MISSPELT - 1)
    lengths = range(shortest, min(len(term) + allowed, len(word)) + 1)
    found = [OSA.distance(term, word[:length], score_cutoff=allowed) for length in lengths]
    fewest = min(found, default=allowed + 1)
    return fewest if fewest <= allowed else None


def _may_be_misspelt(term: str) -> bool:
    return len(term) >= SHORTEST_MISSPELT and not any(char.isdigit() for char in term)


def _grams(word: str) -> set[str]:
    return {word[at : at + 3] for at in range(len(word) - 2)}


def _variants(beginning: str) -> set[str]:
    """The beginning, and each form of it with one letter removed."""
    return {beginning} | {beginning[:at] + beginning[at + 1 :] for at in range(len(beginning))}


def _hashed(company_id: int, pieces: Iterable[str]) -> list[int]:
    """A token of one tenant is none of another's."""
    key = str(company_id).encode()
    hashes = (blake2b(piece.encode(), digest_size=8, key=key).digest() for piece in pieces)
    return sorted(int.from_bytes(each, signed=True) for each in hashes)
