"""Sets of numbers below a size: the slots of an index, or the words of a dictionary. Pure.

Rule 1: a set is immutable; operations return new ones.
Rule 2: sets are combined only with sets of the same size, in whole chunks. An empty one may also
        have none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

CHUNK: Final = 8192
"""Numbers stored together."""
WORD: Final = np.dtype("<u8")
FEW: Final = 500
"""Up to this many, setting bits one by one costs less than flags for all."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Bits:
    """A bit for each number, the lowest first. Not an `int`: making one of bytes, counting or
    inverting it costs ten to thirty times as much.
    """

    words: Words

    @classmethod
    def of(cls, numbers: Iterable[int], size: int) -> Self:
        found = list(numbers)
        length = chunks(size) * CHUNK
        if len(found) > FEW:
            return cls(flagged(found, length).view(WORD))
        whole = bytearray(length // 8)
        for number in found:
            whole[number >> 3] |= 1 << (number & 7)
        return cls(np.frombuffer(whole, WORD))

    @classmethod
    def below(cls, size: int) -> Self:
        """All numbers below the size."""
        return cls(flagged(slice(size), chunks(size) * CHUNK).view(WORD))

    def __bool__(self) -> bool:
        return bool(self.words.any())

    def __and__(self, other: "Bits") -> "Bits":
        if not len(self.words) or not len(other.words):
            return EMPTY
        return Bits(self.words & other.words)

    def __or__(self, other: "Bits") -> "Bits":
        if not len(self.words):
            return other
        return Bits(self.words | other.words) if len(other.words) else self

    def __sub__(self, other: "Bits") -> "Bits":
        if not len(self.words) or not len(other.words):
            return self
        return Bits(self.words & ~other.words)

    def count(self) -> int:
        return int(np.bitwise_count(self.words).sum())

    def numbers(self, *, every: int = 1) -> list[int]:
        """In ascending order; `every` n: only those in every n-th byte."""
        looked_at = self.words.view(np.uint8)[::every]
        filled = np.flatnonzero(looked_at)
        which, bit = np.nonzero(np.unpackbits(looked_at[filled, None], axis=1, bitorder="little"))
        found: list[int] = (filled[which] * every * 8 + bit).tolist()
        return found

    def packed(self) -> bytes:
        """As stored, and as Postgres' get_bit(bytea, n) reads it."""
        return self.words.tobytes()


EMPTY: Final = Bits(np.zeros(0, WORD))


def chunks(size: int) -> int:
    return -(-size // CHUNK)


def flagged(
    places: Sequence[int] | npt.NDArray[np.intp] | slice, size: int
) -> npt.NDArray[np.uint8]:
    """`size` bits as bytes, with those at the places set."""
    flags = np.zeros(size, np.bool_)
    flags[places] = True
    return np.packbits(flags, bitorder="little")


def union(sets: Iterable[Bits]) -> Bits:
    found = EMPTY
    for each in sets:
        found |= each
    return found
