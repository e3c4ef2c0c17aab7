"""How well a contact matches what was typed. Pure, and the law of the search: the index finds
exactly the contacts that `rank` gives a number, in the order of these numbers.

Rule 1: a token's level is that of the contact's best word for it, a way's the sum of its tokens',
        a need's that of its best way; a contact's rank is twice the sum of the needs' levels, and
        one less if it has nothing but what was typed: these words for a name, or as many for an
        address if one was typed. A contact that does not meet a need is not found.
Rule 2: matches inside words, misspellings and joined words count only for a token that was typed
        and that few contacts have as a word or a word's beginning; if nobody is found, or by
        nothing but the organization's name, also misspellings of others (`widened`). Joined words
        are of one part: of the name, of the name and the address, or of the organization's name.
Rule 3: a misspelling is one edit from four letters on, and two if what was typed has six or
        more and it or the word has eight; an edit inserts, drops or changes a letter, or swaps two
        neighbours. Digits are right or wrong, but for one case, and do not count (`slips`). Of
        eight letters with two edits, too little may be left to match.
Rule 4: whose address is of a domain that was typed as a whole has its words better than by name.
Rule 5: what was typed so far of a longer word may be misspelt, too (`unfinished`), if hardly any
        contact has it as a word or a word's beginning.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

from services.query.searching import slips, terms, unfinished, words
from services.query.searching.asking import Asked, Need, Token
from services.query.searching.words import Number

DOMAIN: Final = -1
NAME_WORD: Final = 0
OTHER_WORD: Final = 1
NAME_BEGINS: Final = 2
OTHER_BEGINS: Final = 3
NUMBER: Final = 3
INSIDE: Final = 4
NEAR: Final = 5
FAR: Final = 6
UNFINISHED: Final = 1
"""How many levels a misspelt beginning is behind a misspelt word."""
ELSEWHERE: Final = 2
"""How many levels a match inside, misspelt or joined elsewhere is behind the same in the name."""
UNTYPED: Final = 1

ENOUGH: Final = 100
"""If this many contacts have a token as a word, no further matches are searched."""
FEW: Final = 10
"""If this many have it, no misspelt beginnings either: there is enough to suggest."""
MOST_WIDENED: Final = 3
"""A word that many have stands for many others: each takes as long as a rare one or longer."""
MOST_NEEDS_WIDENED: Final = 4
"""More words than of a name and its company hardly have just one slip."""

REMEMBERED: Final = 20_000
MOST_EDITS: Final = 2
ONE_EDIT: Final = 4
TWO_EDITS: Final = 8
LEAST_OF_TWO_EDITS: Final = 6
"""What may be left of a long word, two of its letters dropped."""
RUN_TOGETHER: Final = range(5, 21)
"""Letters of several words typed as one."""


class Bag(NamedTuple):
    """A contact's words: the name's, the address's, the organization's, and the phone's digits;
    how many words its name and its address have; and the address's domain.
    """

    names: Collection[str]
    addresses: Collection[str]
    organizations: Collection[str]
    number: Number
    several: tuple[int, int] = (0, 0)
    domain: str = ""


@lru_cache(maxsize=REMEMBERED)
def bag(document: terms.Document, organization_name: str | None) -> Bag:
    return Bag(
        frozenset(words.of_name(document.name)),
        frozenset(words.words(document.email)),
        frozenset(words.of_name(organization_name)),
        words.number(document.phone),
        (words.several(document.name), words.several(document.email)),
        words.domain(document.email),
    )


class Reach(IntEnum):
    """How far a word is looked for: misspelt, also inside words and joined, also begun."""

    MISSPELT = 1
    INSIDE = 2
    BEGUN = 3


Wide = Mapping[Token, Reach]
"""The tokens that are not only looked for plainly."""


def reach(having: int) -> Reach | None:
    """How far, if so many contacts have it as a word or a word's beginning; null: no farther."""
    if having >= ENOUGH:
        return None
    return Reach.BEGUN if having < FEW else Reach.INSIDE


def widened(asked: Asked, wide: Wide) -> list[Token]:
    """Tokens that may be misspelt, too, if nobody is found, or by nothing but the organization's
    name: "mara" may mean Maria, although hundreds are called Mara, if none of them is called
    Lindberg. Of many, the longest; none of a long text.
    """
    if len(asked.needs) > MOST_NEEDS_WIDENED:
        return []
    common = [
        t
        for t in asked.tokens
        if t.word and t.is_typed and t not in wide and most_edits(t.word, len(t.word))
    ]
    return sorted(common, key=lambda token: (-len(token.word), token.word))[:MOST_WIDENED]


def rank(asked: Asked, contact: Bag, wide: Wide) -> int | None:
    """Null: not found."""
    found = total(asked, contact, wide)
    if found is None:
        return None
    of_name, of_address = contact.several
    needs = len(asked.needs)
    is_named = found == 0 and of_name == needs and not asked.domains
    is_all = is_named or (asked.is_address and of_address == needs)
    return 2 * found - is_all


def total(asked: Asked, contact: Bag, wide: Wide) -> int | None:
    """The sum of the needs' levels."""
    if not asked.needs:
        return None
    found = 0
    for need in asked.needs:
        level_of_need = met(need, contact, wide)
        if level_of_need is None:
            return None
        found += level_of_need
    return found


def met(need: Need, contact: Bag, wide: Wide) -> int | None:
    """Its level; null if it is not met."""
    best: int | None = None
    for way in need:
        found: int | None = 0
        for token in way:
            had = level(token, contact, wide)
            found = None if had is None or found is None else found + had
        if found is not None and (best is None or found < best):
            best = found
    return best


def level(token: Token, contact: Bag, wide: Wide) -> int | None:
    plain = plain_level(token, contact)
    if plain is not None or token not in wide or not token.word or not token.is_typed:
        return plain
    return farther_level(token.word, contact, wide[token])


def plain_level(token: Token, contact: Bag) -> int | None:
    """As a word, as a word's beginning, in the phone number, or as the address's domain."""
    if token.domain:
        return DOMAIN if token.domain == contact.domain else None
    untyped = 0 if token.is_typed else UNTYPED
    found = as_word(token.word, contact) if token.word else None
    if found is not None:
        return found + untyped
    if token.number is not None and words.has_fragment(contact.number, token.number):
        return NUMBER + untyped
    return None


def as_word(word: str, contact: Bag) -> int | None:
    """Its level as a word, or as a word's beginning."""
    if word in contact.names:
        return NAME_WORD
    if word in contact.addresses or word in contact.organizations:
        return OTHER_WORD
    if _begins(word, contact.names):
        return NAME_BEGINS
    if _begins(word, contact.addresses) or _begins(word, contact.organizations):
        return OTHER_BEGINS
    return None


def _begins(word: str, candidates: Iterable[str]) -> bool:
    # No generator: this runs for hundreds of contacts in each search.
    for candidate in candidates:  # noqa: SIM110
        if candidate.startswith(word):
            return True
    return False


def farther_level(asked: str, contact: Bag, reach: Reach) -> int | None:
    """Its level inside words, misspelt, or as joined words."""
    names, addresses, organizations = contact[:3]
    found = [_word_level(asked, names, reach)]
    elsewhere = [_word_level(asked, each, reach) for each in (addresses, organizations)]
    if reach >= Reach.INSIDE:
        found += [INSIDE if run_together(asked, names) else None]
        if run_together(asked, {*names, *addresses}) or run_together(asked, organizations):
            elsewhere.append(INSIDE)
    found += [None if each is None else each + ELSEWHERE for each in elsewhere]
    return min((each for each in found if each is not None), default=None)


def run_together(asked: str, candidates: Collection[str]) -> tuple[str, ...]:
    """The adjacent words that form it; empty if none do."""
    if len(asked) not in RUN_TOGETHER:
        return ()
    inside = [word for word in candidates if word in asked]
    made: dict[int, tuple[str, ...]] = {0: ()}
    for end in range(1, len(asked) + 1):
        for word in inside:
            start = end - len(word)
            if start in made and is_piece(word, start) and asked.startswith(word, start):
                made[end] = *made[start], word
                break
    return made.get(len(asked), ())


def is_piece(word: str, start: int) -> bool:
    """Whether a word that begins there can be one of those: a single letter only as an initial."""
    return len(word) > 1 or start == 0


def _word_level(asked: str, candidates: Iterable[str], reach: Reach) -> int | None:
    """The level of the best word that contains it or is a misspelling."""
    partial, edits_of = is_partial(asked) and reach >= Reach.INSIDE, _edits(asked)
    best: int | None = None
    for word in candidates:
        if partial and asked in word:
            if not word.isdigit():
                return INSIDE
            continue
        edits = edits_of.get(len(word))
        found = None if edits is None else _whole_level(asked, word, edits)
        start = (
            unfinished.beginning(asked, word) if reach is Reach.BEGUN and found is None else None
        )
        if start is not None:
            found = INSIDE + start.edits + UNFINISHED
        if found is not None and (best is None or found < best):
            best = found
    return best


def _whole_level(asked: str, word: str, edits: int) -> int | None:
    """Of a misspelling with at most so many edits."""
    if not slips.may_mean(asked, word):
        return None
    distance = OSA.distance(asked, word, score_cutoff=edits)
    if distance > edits or not _shares_enough(asked, word, edits):  # the more expensive test last
        return None
    return INSIDE + max(1, distance)


def word_level(asked: str, word: str, reach: Reach) -> int | None:
    """A word's level if it neither equals nor begins with what was typed."""
    return _word_level(asked, (word,), reach)


def misspelt_letters(asked: str, word: str) -> int:
    """How many letters of a word that is a misspelling, or begins with one, are meant."""
    edits = _edits(asked).get(len(word))
    is_whole = edits is not None and _whole_level(asked, word, edits) is not None
    start = None if is_whole else unfinished.beginning(asked, word)
    return len(word) if start is None else start.letters


def word_levels(asked: str, candidates: Sequence[str], reach: Reach) -> dict[str, int]:
    """`word_level` of those that have one, of thousands, most of which have none."""
    if not candidates:
        return {}
    levels: dict[str, int] = {}
    partial = is_partial(asked) and reach >= Reach.INSIDE
    starting = unfinished.candidates(asked, candidates) if reach is Reach.BEGUN else ()
    [distances] = cdist([asked], candidates, scorer=OSA.distance, score_cutoff=MOST_EDITS)
    for word, distance in zip(candidates, distances.tolist(), strict=True):
        if partial and asked in word:
            if not word.isdigit():
                levels[word] = INSIDE
        elif distance <= MOST_EDITS or word in starting:
            level = word_level(asked, word, reach)
            if level is not None:
                levels[word] = level
    return levels


@lru_cache(maxsize=REMEMBERED)
def _edits(asked: str) -> Mapping[int, int]:
    """How many edits a word of each length may be away."""
    return {letters: edits for edits, of_edits in lengths(asked).items() for letters in of_edits}


def is_partial(asked: str) -> bool:
    """Whether it is searched inside words."""
    return len(asked) >= terms.GRAM


def most_edits(asked: str, letters: int) -> int:
    """How many edits a word of this length may be away."""
    several = slips.letters(asked)
    if several < ONE_EDIT:
        return 0
    digits = len(asked) - several
    is_long = several >= LEAST_OF_TWO_EDITS and max(several, letters - digits) >= TWO_EDITS
    return MOST_EDITS if is_long else 1


def lengths(asked: str) -> Mapping[int, Collection[int]]:
    """By edits, the lengths of words that may be so far away."""
    found: dict[int, list[int]] = {}
    for letters in range(len(asked) - 2, len(asked) + 3):
        edits = most_edits(asked, letters)
        if edits and letters > 0 and abs(letters - len(asked)) <= edits:
            found.setdefault(edits, []).append(letters)
    return found


def least_shared(asked: str, edits: int) -> int:
    """Letter groups that a word must share to be considered. A changed letter spoils three of the
    padded word's groups, a swap four.
    """
    found = len(terms.padded_grams(asked))
    return max(2, found - 4) if edits == 1 else max(3, found - 8)


def _shares_enough(asked: str, word: str, edits: int) -> bool:
    shared = len(terms.padded_grams(asked) & terms.padded_grams(word))
    return shared >= least_shared(asked, edits)
