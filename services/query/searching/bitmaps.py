"""Sets of slots: as they are stored, chunk by chunk, and as one number whose bits they are. Pure.

Rule 1: a chunk with few slots holds two bytes for each, one with many a bit for every slot.
Rule 2: an empty chunk is no bytes, and is not stored.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

CHUNK: Final = 8192
DENSE_BYTES: Final = CHUNK // 8
MOST_SPARSE: Final = 128

Piece = tuple[int, bool, bytes]
"""Which chunk, whether dense, and one or more stored chunks of that kind, one after the other."""

FEW: Final = 500
"""Up to so many, bits set one by one cost less than flags for all."""
_PLACE: Final = np.dtype("<u2")


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


def joined(pieces: Iterable[Piece], size: int) -> int:
    """Everything in these chunks, of any terms, as bits of a number; none lies past `size`."""
    chunks = -(-size // CHUNK)
    whole = np.zeros((chunks, DENSE_BYTES), np.uint8)
    found = []
    for chunk, is_dense, stored in pieces:
        if is_dense:
            terms = np.frombuffer(stored, np.uint8).reshape(-1, DENSE_BYTES)
            whole[chunk] |= np.bitwise_or.reduce(terms)
        else:
            found.append(np.frombuffer(stored, _PLACE).astype(np.intp) + chunk * CHUNK)
    if found:
        flags = np.zeros(chunks * CHUNK, np.bool_)
        flags[np.concatenate(found)] = True
        whole |= np.packbits(flags, bitorder="little").reshape(whole.shape)
    return int.from_bytes(whole.tobytes(), "little")


def of_slots(found: Iterable[int], size: int) -> int:
    found = list(found)
    if len(found) > FEW:
        flags = np.zeros(size + 1, np.bool_)
        flags[found] = True
        return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")
    whole = bytearray(size // 8 + 1)
    for slot in found:
        whole[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(whole, "little")


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
