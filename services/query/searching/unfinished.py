"""What was typed so far of a longer word, misspelt. Pure.

Rule 1: it may have an edit from five letters on, and two from seven, if the letter typed last is
        right; or that one alone is wrong, from six letters on.
Rule 2: half of its letter groups are in the word, at least one of them not only of its first two
        letters, which thousands of words share. Where more is spoilt, too little is left to match.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

from services.query.searching import slips, terms

ONE_EDIT: Final = 5
LAST_LETTER: Final = 6
TWO_EDITS: Final = 7
LEAST_SHARED: Final = 2
REMEMBERED: Final = 1_000


class Beginning(NamedTuple):
    """`letters` are those of the word that are meant."""

    edits: int
    letters: int


def beginning(asked: str, word: str) -> Beginning | None:
    """With as few edits as possible; none if the word begins rightly with what was typed."""
    size, most = len(asked), most_edits(asked)
    if not most or len(word) < size or not _shares_enough(asked, word):
        return None
    if word.startswith(asked):
        return None
    is_last = size >= LAST_LETTER and word.startswith(asked[:-1])
    if is_last and (asked[-1] + word[size - 1]).isalpha():
        return Beginning(1, size - 1)
    best: Beginning | None = None
    for end in range(size - most, min(size + most, len(word) - 1) + 1):
        if word[end - 1] != asked[-1] or not slips.may_mean(asked, word[:end]):
            continue
        edits = OSA.distance(asked, word[:end], score_cutoff=most)
        if 0 < edits <= most and (best is None or edits < best.edits):
            best = Beginning(edits, end)
    return best


def candidates(asked: str, words: Sequence[str]) -> Collection[str]:
    """The words, of thousands, that may have such a beginning."""
    most = most_edits(asked)
    if not most:
        return ()
    ends = range(len(asked) - most, len(asked) + most + 1)
    starts = [word[:end] for end in ends for word in words]
    [edits] = cdist([asked], starts, scorer=OSA.distance, score_cutoff=most)
    near = np.reshape(edits <= most, (len(ends), len(words))).any(axis=0)
    return {words[place] for place in np.flatnonzero(near).tolist()}


@lru_cache(maxsize=REMEMBERED)
def most_edits(asked: str) -> int:
    several = slips.letters(asked)
    if several < ONE_EDIT:
        return 0
    return 1 if several < TWO_EDITS else 2


@lru_cache(maxsize=REMEMBERED)
def least_shared(asked: str) -> int:
    """Letter groups that a word must share to be considered."""
    return max(LEAST_SHARED, len(terms.beginning_grams(asked)) // 2)


def _shares_enough(asked: str, word: str) -> bool:
    # Substrings, not sets of groups: this runs for hundreds of words in each search.
    shared = 0
    for group in _inside(asked):
        shared += group in word
    if not shared:
        return False
    of_two_letters = (word[0] == asked[0]) + (word[:2] == asked[:2])
    return shared + of_two_letters >= least_shared(asked)


@lru_cache(maxsize=REMEMBERED)
def _inside(asked: str) -> Collection[str]:
    """The letter groups that are not only of the first two letters."""
    return tuple(terms.grams(asked))
