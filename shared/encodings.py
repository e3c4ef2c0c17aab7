"""Decodes a body according to its `Content-Encoding`. Pure.

The framework could do it, but words its errors differently.
"""

import zlib

MOST_STREAMS = 100
"""Per body; decoding a million empty ones would take a while."""
GZIP = 16 + zlib.MAX_WBITS
ZLIB_METHOD = 0x08
"""In the lower half of the first byte. Some senders omit the header of "deflate"."""


class Undecodable(ValueError):
    """The bytes are not in the encoding that they claim, or in an unsupported one."""


class TooLarge(ValueError):
    """They are more than allowed, once decoded."""


def decoded(content: bytes, encoding: str, *, most: int) -> bytes:
    """At most so many bytes.

    Raises:
        Undecodable: as said there.
        TooLarge: as said there; decoding stopped at the limit.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return content
        case "gzip" | "x-gzip":
            return _inflated(content, GZIP, most)
        case "deflate":
            has_header = content[:1] and content[0] & 0x0F == ZLIB_METHOD
            return _inflated(content, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS, most)
        case unknown:
            raise Undecodable(f"encoding {unknown[:40]!r} is not supported")


def _inflated(content: bytes, window: int, most: int) -> bytes:
    """Supports several concatenated streams, as gzip does."""
    parts: list[bytes] = []
    left = most
    while content and len(parts) < MOST_STREAMS:
        engine = zlib.decompressobj(window)
        try:
            part = engine.decompress(content, left + 1)
        except zlib.error as error:
            raise Undecodable(str(error)) from error
        left -= len(part)
        if left < 0:
            raise TooLarge(f"more than {most} bytes")
        if not engine.eof:
            raise Undecodable("it is truncated")
        parts.append(part)
        content = engine.unused_data
    if content:
        raise Undecodable(f"more than {MOST_STREAMS} streams")
    return b"".join(parts)
