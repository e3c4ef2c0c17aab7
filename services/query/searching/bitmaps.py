"""Sets of slots as they are stored, chunk by chunk. Pure.

Rule 1: a chunk with few slots holds two bytes for each, one with many a bit for every slot.
Rule 2: an empty chunk is no bytes, and is not stored.
"""

import struct
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np

from services.query.searching import bits
from services.query.searching.bits import CHUNK, EMPTY, WORD, Bits

DENSE_BYTES: Final = CHUNK // 8
MOST_SPARSE: Final = 128

Piece = tuple[int, bool, bytes]
"""Which chunk, whether dense, and one or more stored chunks of that kind, one after the other."""

FEW_TOGETHER: Final = 3_000
"""Up to so many, bits set at their places cost less than flags for all."""
_PLACE: Final = np.dtype("<u2")
Chunks = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
"""A row of bytes a chunk, dense."""


def changed(stored: bytes, added: Iterable[int], removed: Iterable[int]) -> bytes:
    """A chunk without some of its places, then with others."""
    if len(stored) == DENSE_BYTES:
        return _encoded((_dense(stored) - _of(removed)) | _of(added))
    held = set(_sparse(stored))
    held.difference_update(removed)
    held.update(added)
    return packed(sorted(held))


def packed(found: Sequence[int]) -> bytes:
    """A chunk with these places, which ascend."""
    if len(found) > MOST_SPARSE:
        return _of(found).packed()
    return struct.pack(f"<{len(found)}H", *found)


def count(stored: bytes) -> int:
    if len(stored) == DENSE_BYTES:
        return _dense(stored).count()
    return len(stored) // 2


def places(stored: bytes) -> list[int]:
    if len(stored) == DENSE_BYTES:
        return _dense(stored).numbers()
    return list(_sparse(stored))


def joined(pieces: Collection[Piece], size: int) -> Bits:
    """Everything in these chunks, of any terms; none lies past `size`."""
    if not pieces:
        return EMPTY
    whole = np.zeros((bits.chunks(size), DENSE_BYTES), np.uint8)
    sparse: list[bytes] = []
    sparse_in: list[int] = []
    for chunk, is_dense, stored in pieces:
        if is_dense:
            terms = np.frombuffer(stored, np.uint8).reshape(-1, DENSE_BYTES)
            whole[chunk] |= terms[0] if len(terms) == 1 else np.bitwise_or.reduce(terms)
        else:
            sparse.append(stored)
            sparse_in.append(chunk)
    if sparse:
        _set(whole, sparse, sparse_in)
    return Bits(whole.reshape(-1).view(WORD))


def _set(whole: Chunks, sparse: Sequence[bytes], sparse_in: Sequence[int]) -> None:
    """The places of sparse chunks, all at once: there may be hundreds with a few places each."""
    starts = np.array(sparse_in, np.intp) * CHUNK
    at = np.frombuffer(b"".join(sparse), _PLACE).astype(np.intp)
    at += np.repeat(starts, [len(stored) // 2 for stored in sparse])
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
