"""Where a contact stands in the list, and the opaque form of that. Pure.

Rule 1: keys compare as the list is ordered: in the campaign first, then the coldest, then the one
        contacted longest ago (never contacted last), then the youngest, then by id.
Rule 2: a cursor says one key and nothing else; what is not a cursor of ours is refused.
"""

import base64
import binascii
import struct
import zlib
from typing import NamedTuple
from uuid import UUID

NEVER = 2**63 - 1
"""`contacted_key` of a contact that nobody has contacted."""

_KEY = struct.Struct(">?hqq16s")
_SUM = struct.Struct(">I")
_SALT = zlib.crc32(b"my500 cursor 1")


class Key(NamedTuple):
    """Times in microseconds; `created_key` is negated, so that the youngest comes first."""

    not_in_campaign: bool
    score: int
    contacted_key: int
    created_key: int
    contact_id: UUID


class BadCursor(ValueError):
    """The text is no cursor that was handed out here."""


def encode(key: Key) -> str:
    packed = _KEY.pack(*key[:4], key.contact_id.bytes)
    return (
        base64.urlsafe_b64encode(packed + _SUM.pack(zlib.crc32(packed, _SALT)))
        .decode()
        .rstrip("=")
    )


def decode(text: str) -> Key:
    """Raises:
    BadCursor: not one of ours, or not as it was handed out.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCursor("not base64url") from error
    packed, check = raw[: _KEY.size], raw[_KEY.size :]
    if len(packed) != _KEY.size or check != _SUM.pack(zlib.crc32(packed, _SALT)):
        raise BadCursor("the checksum is wrong")
    not_in_campaign, score, contacted_key, created_key, contact_id = _KEY.unpack(packed)
    key = Key(not_in_campaign, score, contacted_key, created_key, UUID(bytes=contact_id))
    if encode(key) != text:
        raise BadCursor("not as it was handed out")
    return key
