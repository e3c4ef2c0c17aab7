"""Sets of slots: as they are stored, chunk by chunk, and as one number whose bits they are. Pure.

Rule 1: a chunk with few slots holds two bytes for each, one with many a bit for every slot.
Rule 2: an empty chunk is no bytes, and is not stored.
"""

import struct
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

CHUNK: Final = 8192
DENSE_BYTES: Final = CHUNK // 8
MOST_SPARSE: Final = 128

Piece = tuple[int, bool, bytes]
"""Which chunk, whether dense, and one or more stored chunks of that kind, one after the other."""

FEW: Final = 500
"""Up to so many, bits set one by one cost less than flags for all."""
FEW_TOGETHER: Final = 3_000
"""The same where they are set by one call."""
_PLACE: Final = np.dtype("<u2")
Chunks = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
"""A row of bytes a chunk, dense."""


def changed(stored: bytes, added: Iterable[int], removed: Iterable[int]) -> bytes:
    """A chunk without some of its places, then with others."""
    if len(stored) == DENSE_BYTES:
        return _encoded(int.from_bytes(stored, "little") & ~_bits(removed) | _bits(added))
    held = set(_sparse(stored))
    held.difference_update(removed)
    held.update(added)
    if len(held) > MOST_SPARSE:
        return _bits(held).to_bytes(DENSE_BYTES, "little")
    return struct.pack(f"<{len(held)}H", *sorted(held))


def packed(found: Sequence[int]) -> bytes:
    """A chunk with these places, which ascend."""
    if len(found) > MOST_SPARSE:
        return _bits(found).to_bytes(DENSE_BYTES, "little")
    return struct.pack(f"<{len(found)}H", *found)


def count(stored: bytes) -> int:
    if len(stored) == DENSE_BYTES:
        return int.from_bytes(stored, "little").bit_count()
    return len(stored) // 2


def places(stored: bytes) -> list[int]:
    if len(stored) == DENSE_BYTES:
        return slots(int.from_bytes(stored, "little"))
    return list(_sparse(stored))


def joined(pieces: Collection[Piece], size: int) -> int:
    """Everything in these chunks, of any terms, as bits of a number; none lies past `size`."""
    if not pieces:
        return 0
    chunks = -(-size // CHUNK)
    whole = np.zeros((chunks, DENSE_BYTES), np.uint8)
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
    return int.from_bytes(whole.tobytes(), "little")


def _set(whole: Chunks, sparse: Sequence[bytes], sparse_in: Sequence[int]) -> None:
    """The places of sparse chunks, all at once: there may be hundreds with a few places each."""
    starts = np.array(sparse_in, np.intp) * CHUNK
    at = np.frombuffer(b"".join(sparse), _PLACE).astype(np.intp)
    at += np.repeat(starts, [len(stored) // 2 for stored in sparse])
    if len(at) > FEW_TOGETHER:
        whole |= _flagged(at, whole.size * 8).reshape(whole.shape)
    else:
        bits = np.left_shift(1, at & 7).astype(np.uint8)
        np.bitwise_or.at(whole.reshape(-1), at >> 3, bits)


def of_slots(found: Iterable[int], size: int) -> int:
    found = list(found)
    if len(found) > FEW:
        return int.from_bytes(_flagged(found, size + 1).tobytes(), "little")
    whole = bytearray(size // 8 + 1)
    for slot in found:
        whole[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(whole, "little")


def _flagged(places: list[int] | npt.NDArray[np.intp], size: int) -> npt.NDArray[np.uint8]:
    """Bytes of so many bits, with those at the places set."""
    flags = np.zeros(size, np.bool_)
    flags[places] = True
    return np.packbits(flags, bitorder="little")


def slots(bits: int, *, every: int = 1) -> list[int]:
    """The places of the bits, ascending; or those in every so-many-th byte."""
    looked_at = np.frombuffer(packed_bits(bits), np.uint8)[::every]
    filled = np.flatnonzero(looked_at)
    which, bit = np.nonzero(np.unpackbits(looked_at[filled, None], axis=1, bitorder="little"))
    found: list[int] = (filled[which] * every * 8 + bit).tolist()
    return found


def packed_bits(bits: int, size: int = 0) -> bytes:
    """For Postgres' get_bit(bytea, n), which may be asked for any n below `size`."""
    return bits.to_bytes(max(bits.bit_length(), size) // 8 + 1, "little")


def _sparse(stored: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(stored) // 2}H", stored)


def _bits(found: Iterable[int]) -> int:
    return of_slots(found, CHUNK - 1)


def _encoded(bits: int) -> bytes:
    if bits.bit_count() > MOST_SPARSE // 2:
        return bits.to_bytes(DENSE_BYTES, "little")
    found = slots(bits)
    return struct.pack(f"<{len(found)}H", *found)
