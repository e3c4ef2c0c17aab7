"""Records' positions in the log, and their opaque form: the `after` token. Pure.

Rule 1: a writer puts the positions of its records into a token; a reader waits until they are
        applied. Topics are named as in the contract, without a cluster's prefix.
Rule 2: a partition is applied in order, so the furthest position in each stands for all.
Rule 3: other effects follow when other services read these records, and have no position yet: a
        token names the contacts that must have joined their organization, and those that must have
        been scored.
Rule 4: a token holds nothing else; what was not encoded here is refused.
Rule 5: the answer says in a header whether it shows what the token names; so does a refusal, since
        what is not found may be on its way.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple
from uuid import UUID

MOST: Final = 200
"""Partitions in one token."""
MOST_CHARS: Final = 6_000
"""So that a token fits into a request line."""
MOST_LINKED: Final = 10
"""Contacts in one token."""

HEADER: Final = "X-After"
SHOWN: Final = "shown"
PENDING: Final = "pending"

_SALT: Final = zlib.crc32(b"my500 after 2")
_SUM_BYTES: Final = 4
_TEXT: Final = re.compile(
    r"[a-z0-9.-]{1,100}(:\d{1,9}\.\d{1,18})+(;[a-z0-9.-]{1,100}(:\d{1,9}\.\d{1,18})+)*"
    rf"(\+[0-9a-f]{{32}}){{0,{MOST_LINKED}}}"
    rf"(\*[0-9a-f]{{32}}\.\d{{1,17}}){{0,{MOST_LINKED}}}"
)


class Position(NamedTuple):
    topic: str
    partition: int
    offset: int


class Scored(NamedTuple):
    """A contact whose score must be based on a last contact at that time or later."""

    contact_id: UUID
    contacted_us: int = 0
    """In microseconds since 1970; 0: any time, or never."""


class Token(NamedTuple):
    """`linked` are contacts that must have an organization."""

    positions: tuple[Position, ...]
    linked: tuple[UUID, ...] = ()
    scored: tuple[Scored, ...] = ()


def encode(
    positions: Iterable[Position],
    linked: Collection[UUID] = (),
    scored: Collection[Scored] = (),
) -> str:
    """An URL-safe token. No positions make an empty one.

    Raises:
        ValueError: they are in too many partitions for one token, or there are too many contacts.
    """
    furthest = furthest_of(positions)
    if len(furthest) > MOST:
        raise ValueError(f"{len(furthest)} partitions are too many for a token (most: {MOST})")
    for named in (linked, scored):
        if len(named) > MOST_LINKED:
            raise ValueError(
                f"{len(named)} contacts are too many for a token (most: {MOST_LINKED})"
            )
    if not furthest:
        return ""
    of_topic: dict[str, str] = {}
    for topic, partition, offset in furthest:
        of_topic[topic] = f"{of_topic.get(topic, topic)}:{partition}.{offset}"
    contacts = "".join(f"+{contact_id.hex}" for contact_id in linked)
    contacts += "".join(f"*{each.contact_id.hex}.{each.contacted_us}" for each in scored)
    text = (";".join(of_topic.values()) + contacts).encode()
    return base64.urlsafe_b64encode(_sum(text) + text).decode().rstrip("=")


def decode(token: str) -> Token:
    """The positions in order.

    Raises:
        ValueError: not a token issued here.
    """
    if not token:
        return Token(())
    if len(token) > MOST_CHARS:
        raise ValueError(f"a token has at most {MOST_CHARS} characters")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a token issued here") from error
    check, text = raw[:_SUM_BYTES], raw[_SUM_BYTES:]
    if check != _sum(text) or not _TEXT.fullmatch(text.decode(errors="replace")):
        raise ValueError("not a token issued here")
    rest, *scored = text.decode().split("*")
    places, *linked = rest.split("+")
    return Token(tuple(_positions(places)), tuple(map(UUID, linked)), tuple(map(_scored, scored)))


def furthest_of(positions: Iterable[Position]) -> list[Position]:
    """One position per partition, in order."""
    furthest: dict[tuple[str, int], int] = {}
    for topic, partition, offset in positions:
        place = (topic, partition)
        furthest[place] = max(offset, furthest.get(place, 0))
    return sorted(Position(*place, offset) for place, offset in furthest.items())


def _positions(text: str) -> Iterable[Position]:
    for part in text.split(";"):
        topic, *places = part.split(":")
        for place in places:
            partition, _, offset = place.partition(".")
            yield Position(topic, int(partition), int(offset))


def _scored(text: str) -> Scored:
    contact_id, _, contacted_us = text.partition(".")
    return Scored(UUID(contact_id), int(contacted_us))


def _sum(text: bytes) -> bytes:
    return zlib.crc32(text, _SALT).to_bytes(_SUM_BYTES, "big")
