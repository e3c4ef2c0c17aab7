"""A page is compressed once, though each answer ends with a tail of its own. Pure.

Rule 1: what is sent is one gzip member: the page deflated up to a byte boundary, then the tail as
        a stored block, then the checksum over both. So a hit compresses nothing.
Rule 2: clients that do not accept gzip get plain bytes; so do pages too small to gain from it.
"""

import struct
import zlib
from functools import lru_cache
from typing import Final

LEAST_BYTES: Final = 1_000
LEVEL: Final = 1
"""A page is repetitive JSON: level 6 takes four times as long to save a third more."""

_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_STORED: Final = struct.Struct("<BHH")
_SUMS: Final = struct.Struct("<II")
_NO_MORE: Final = 0xFFFF
"""The longest possible stored block."""


class Content:
    """A page without its tail; deflated on first use."""

    __slots__ = ("_deflated", "_sum", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._deflated: bytes | None = None
        self._sum = 0

    def gzip(self) -> bytes:
        """The gzip member up to the tail."""
        if self._deflated is None:
            packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            deflated = packer.compress(self.plain) + packer.flush(zlib.Z_SYNC_FLUSH)
            self._deflated = _HEAD + deflated
            self._sum = zlib.crc32(self.plain)
        return self._deflated

    def gzip_tail(self, tail: bytes) -> bytes:
        """The tail, and the end of the member."""
        self.gzip()
        if len(tail) > _NO_MORE:
            raise ValueError(f"a tail of {len(tail)} bytes is longer than a stored block")
        length = len(self.plain) + len(tail)
        return b"".join(
            (
                _STORED.pack(1, len(tail), len(tail) ^ _NO_MORE),
                tail,
                _SUMS.pack(zlib.crc32(tail, self._sum), length & 0xFFFFFFFF),
            )
        )


@lru_cache(maxsize=256)
def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header accepts gzip; a coding with q=0 is refused."""
    weights = dict(_coding(part) for part in accepted.split(","))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _coding(part: str) -> tuple[str, float]:
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


def matches(condition: str, etag: str) -> bool:
    """Whether an If-None-Match header names the tag; the comparison is weak."""
    if condition == etag:
        return True
    opaque = etag.removeprefix("W/")
    return any(
        each == "*" or each.removeprefix("W/") == opaque
        for each in (word.strip() for word in condition.split(","))
    )
