"""Which signs of a typed word may be slips. Pure.

Rule: letters may. Digits are right or wrong, also beside letters, where they often are all that
      tells two words apart (team2000, team2001); except that a single one before a letter may have
      been typed instead of one (mann1um).
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

REMEMBERED: Final = 1_000

_LETTERS: Final = re.compile(r"[a-z]+")
_SLIP: Final = re.compile(r"(?<![0-9])[0-9](?=[a-z])")


@lru_cache(maxsize=REMEMBERED)
def letters(asked: str) -> int:
    """How many may be wrong."""
    return len(asked) - min(map(len, _digits(asked)))


def may_mean(asked: str, meant: str) -> bool:
    """Whether a word, or a part of one, has the digits that were typed."""
    if asked.isalpha() or meant.isalpha():  # quickly: this runs for hundreds of words
        return meant.isalpha() and "" in _digits(asked)
    return _LETTERS.sub("", meant) in _digits(asked)


@lru_cache(maxsize=REMEMBERED)
def _digits(asked: str) -> Collection[str]:
    """All, and those that are none by mistake."""
    return {_LETTERS.sub("", each) for each in (asked, _SLIP.sub("", asked))}
