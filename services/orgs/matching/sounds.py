"""Normalizes a word that was transliterated from another script, or adopted by another language,
to one spelling by sound. Pure.

Rule 1: what sounds alike is spelled alike: Kredo and Credo, Halyk and Khalyk, Phoenix and Foeniks.
Rule 2: no word becomes empty; what holds a digit stays as it is.
"""

import re
from functools import lru_cache

# In this order: the output of one may be input of the next.
_LETTERS = (
    (re.compile("ph"), "f"),
    (re.compile("(?<=[bcdgkprstz])h"), ""),
    (re.compile("x"), "ks"),
    (re.compile("ck|qu?|c(?![eiy])"), "k"),
    (re.compile("t[sz]|c(?=[eiy])"), "s"),
    (re.compile("[jy]"), "i"),
    (re.compile("w"), "v"),
    (re.compile(r"(.)\1+"), r"\1"),
)


@lru_cache(maxsize=65_536)
def of(word: str) -> str:
    if not word.isalpha():
        return word
    for letters, sound in _LETTERS:
        word = letters.sub(sound, word)
    return word
