"""Sets of slots: as they are stored, chunk by chunk, and as one number whose bits they are. Pure.

Rule 1: a chunk with few slots holds two bytes for each, one with many a bit for every slot.
Rule 2: an empty chunk is no bytes, and is not stored.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from typing import Final

CHUNK: Final = 8192
DENSE_BYTES: Final = CHUNK // 8
MOST_SPARSE: Final = 128

_BITS: Final = [tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256)]
_FILLED: Final = re.compile(rb"[^\0]")


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


def joined(chunks: Iterable[tuple[int, bytes]], size: int) -> int:
    """Everything in these chunks, of any terms, as bits of a number; none lies past `size`."""
    whole = bytearray(-(-size // CHUNK) * DENSE_BYTES)
    for chunk, stored in chunks:
        start = chunk * DENSE_BYTES
        if len(stored) == DENSE_BYTES:
            end = start + DENSE_BYTES
            bits = int.from_bytes(stored, "little") | int.from_bytes(whole[start:end], "little")
            whole[start:end] = bits.to_bytes(DENSE_BYTES, "little")
        else:
            for place in _sparse(stored):
                whole[start + (place >> 3)] |= 1 << (place & 7)
    return int.from_bytes(whole, "little")


def of_slots(found: Iterable[int], size: int) -> int:
    whole = bytearray(size // 8 + 1)
    for slot in found:
        whole[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(whole, "little")


def slots(bits: int, *, every: int = 1) -> list[int]:
    """The places of the bits, ascending; or those in every so-many-th byte."""
    packed = packed_bits(bits)[::every]
    return [
        (match.start() * every << 3) + bit
        for match in _FILLED.finditer(packed)
        for bit in _BITS[packed[match.start()]]
    ]


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
