"""A contact's position in the list, and its opaque form. Pure.

Rule 1: keys compare in list order: in the campaign first, then the coldest, then the one contacted
        longest ago (never contacted last), then the youngest, then by id.
Rule 2: a cursor holds one key and nothing else; anything but a cursor of ours is refused, also one
        of another list.
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
_ORGANIZATION = struct.Struct(">q16s")
_ORGANIZATION_SALT = zlib.crc32(b"my500 organizations 2")


class OrganizationKey(NamedTuple):
    """`fewest` is the negated number of the organization's contacts: the largest come first."""

    fewest: int
    sort_name: str
    organization_id: UUID


class Key(NamedTuple):
    """Times in microseconds; `created_key` is negated, so that the youngest comes first."""

    not_in_campaign: bool
    score: int
    contacted_key: int
    created_key: int
    contact_id: UUID


class BadCursor(ValueError):
    """The text is not a cursor issued here."""


def encode(key: Key) -> str:
    return _text(_KEY.pack(*key[:4], key.contact_id.bytes), _SALT)


def decode(text: str) -> Key:
    """Raises:
    BadCursor: not one of ours, or altered.
    """
    packed = _packed(text, _SALT)
    if len(packed) != _KEY.size:
        raise BadCursor("the length is wrong")
    not_in_campaign, score, contacted_key, created_key, contact_id = _KEY.unpack(packed)
    key = Key(not_in_campaign, score, contacted_key, created_key, UUID(bytes=contact_id))
    if encode(key) != text:
        raise BadCursor("it was altered")
    return key


def encode_organization(key: OrganizationKey) -> str:
    start = _ORGANIZATION.pack(key.fewest, key.organization_id.bytes)
    return _text(start + key.sort_name.encode(), _ORGANIZATION_SALT)


def decode_organization(text: str) -> OrganizationKey:
    """Raises:
    BadCursor: not one of ours, or altered.
    """
    packed = _packed(text, _ORGANIZATION_SALT)
    if len(packed) < _ORGANIZATION.size:
        raise BadCursor("the length is wrong")
    fewest, organization_id = _ORGANIZATION.unpack_from(packed)
    try:
        name = packed[_ORGANIZATION.size :].decode()
    except UnicodeDecodeError as error:
        raise BadCursor("the name is wrong") from error
    key = OrganizationKey(fewest, name, UUID(bytes=organization_id))
    if encode_organization(key) != text or "\0" in name:
        raise BadCursor("it was altered")
    return key


def _text(packed: bytes, salt: int) -> str:
    checked = packed + _SUM.pack(zlib.crc32(packed, salt))
    return base64.urlsafe_b64encode(checked).decode().rstrip("=")


def _packed(text: str, salt: int) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCursor("not base64url") from error
    packed, check = raw[: -_SUM.size], raw[-_SUM.size :]
    if check != _SUM.pack(zlib.crc32(packed, salt)):
        raise BadCursor("the checksum is wrong")
    return packed
