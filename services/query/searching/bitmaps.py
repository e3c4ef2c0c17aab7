"""Sets of slots as they are stored. Pure.

Rule 1: a rare term has its slots in one row, `LOOSE`, four bytes each; others chunk by chunk. With
        chunks alone, the thousand words that contain something, most of them rare, would be five
        thousand rows.
Rule 2: a sparse chunk holds two bytes per slot, a dense one a bit for every slot.
Rule 3: a slot is in its chunk's row if there is one, else among the loose ones. Once these are too
        many, each goes to its chunk.
Rule 4: an empty row is not stored.
"""

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from services.query.searching import bits
from services.query.searching.bits import CHUNK, EMPTY, WORD, Bits

DENSE_BYTES: Final = CHUNK // 8
MOST_SPARSE: Final = 128
LOOSE: Final = -1
"""The chunk number of a term's row of loose slots."""
MOST_LOOSE: Final = 200

Piece = tuple[int, bool, bytes]
"""Which chunk, whether dense, and one or more stored rows of that kind, concatenated."""

FEW_TOGETHER: Final = 3_000
"""Up to this many, setting bits one by one costs less than flags for all."""
_PLACE: Final = np.dtype("<u2")
_SLOT: Final = np.dtype("<u4")
Chunks = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
"""A row of bytes per chunk, dense."""


def changed(stored: bytes, added: Iterable[int], removed: Iterable[int]) -> bytes:
    """A chunk with some places removed, then others added."""
    if len(stored) == DENSE_BYTES:
        return _encoded((_dense(stored) - _of(removed)) | _of(added))
    held = set(_sparse(stored))
    held.difference_update(removed)
    held.update(added)
    return packed(sorted(held))


def packed(found: Sequence[int]) -> bytes:
    """A chunk with these places, in ascending order."""
    if len(found) > MOST_SPARSE:
        return _of(found).packed()
    return struct.pack(f"<{len(found)}H", *found)


def loosened(
    stored: bytes, added: Collection[int], removed: Collection[int]
) -> tuple[bytes, Mapping[int, bytes]]:
    """The loose slots with some removed, then others added; if they are too many, none, and a row
    for each of their chunks.
    """
    held = (set(slots(LOOSE, stored)) - set(removed)) | set(added)
    if len(held) <= MOST_LOOSE:
        return loose(sorted(held)), {}
    by_chunk = split(sorted(held))
    return b"", {chunk: packed(places) for chunk, places in by_chunk.items()}


def loose(found: Sequence[int]) -> bytes:
    """A row of these slots, in ascending order."""
    return struct.pack(f"<{len(found)}I", *found)


def split(found: Iterable[int]) -> dict[int, list[int]]:
    """Slots by chunk, as places within it."""
    by_chunk: defaultdict[int, list[int]] = defaultdict(list)
    for slot in found:
        by_chunk[slot // CHUNK].append(slot % CHUNK)
    return by_chunk


def slots(chunk: int, stored: bytes) -> Sequence[int]:
    """The slots of a row stored under this chunk number."""
    if chunk == LOOSE:
        return struct.unpack(f"<{len(stored) // _SLOT.itemsize}I", stored)
    return [chunk * CHUNK + place for place in places(stored)]


def places(stored: bytes) -> list[int]:
    if len(stored) == DENSE_BYTES:
        return _dense(stored).numbers()
    return list(_sparse(stored))


def joined(pieces: Collection[Piece], size: int) -> Bits:
    """The union of these rows, of any terms; each chunk once in each form, none beyond `size`."""
    if not pieces:
        return EMPTY
    whole = np.zeros((bits.chunks(size), DENSE_BYTES), np.uint8)
    few = [stored for chunk, _, stored in pieces if chunk == LOOSE]
    dense = [(chunk, stored) for chunk, is_dense, stored in pieces if is_dense]
    sparse = [
        (chunk, stored) for chunk, is_dense, stored in pieces if not is_dense and chunk != LOOSE
    ]
    if dense:
        _fill(whole, dense)
    if few:
        _set(whole, np.frombuffer(b"".join(few), _SLOT).astype(np.intp))
    if sparse:
        _set(whole, _slots(sparse))
    return Bits(whole.reshape(-1).view(WORD))


def _fill(whole: Chunks, dense: Iterable[tuple[int, bytes]]) -> None:
    """Set dense chunks; those of one term, which is nearly all cases, together."""
    single: dict[int, bytes] = {}
    for chunk, stored in dense:
        if len(stored) == DENSE_BYTES:
            single[chunk] = stored
        else:
            terms = np.frombuffer(stored, np.uint8).reshape(-1, DENSE_BYTES)
            whole[chunk] = np.bitwise_or.reduce(terms)
    if single:
        rows = np.frombuffer(b"".join(single.values()), np.uint8)
        whole[list(single)] = rows.reshape(-1, DENSE_BYTES)


def _slots(sparse: Sequence[tuple[int, bytes]]) -> npt.NDArray[np.intp]:
    """From sparse chunks, all at once: there may be hundreds with a few places each."""
    starts = np.array([chunk for chunk, _ in sparse], np.intp) * CHUNK
    at = np.frombuffer(b"".join(stored for _, stored in sparse), _PLACE).astype(np.intp)
    return at + np.repeat(starts, [len(stored) // _PLACE.itemsize for _, stored in sparse])


def _set(whole: Chunks, at: npt.NDArray[np.intp]) -> None:
    if len(at) > FEW_TOGETHER:
        whole |= bits.flagged(at, whole.size * 8).reshape(whole.shape)
    else:
        flags = np.left_shift(1, at & 7).astype(np.uint8)
        np.bitwise_or.at(whole.reshape(-1), at >> 3, flags)


def _dense(stored: bytes) -> Bits:
    return Bits(np.frombuffer(stored, WORD))


def _sparse(stored: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(stored) // 2}H", stored)


def _of(found: Iterable[int]) -> Bits:
    return Bits.of(found, CHUNK)


def _encoded(held: Bits) -> bytes:
    return held.packed() if held.count() > MOST_SPARSE // 2 else packed(held.numbers())
