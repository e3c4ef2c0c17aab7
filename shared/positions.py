"""Where records stand in the log, and the opaque form of that: the `after` token. Pure.

Rule 1: who writes puts the positions of its records into a token; who reads waits until they are
        applied. Topics are named as in the contract, without a cluster's prefix.
Rule 2: a partition is applied in its order, so of each the furthest position stands for all.
Rule 3: what else must be seen follows from other services' reading these records, and stands
        nowhere yet: a token names the contacts that must have come to their organization, and
        those that must have been scored.
Rule 4: a token says nothing beside; what was not encoded here is refused.
Rule 5: the answer says in a header whether it shows what the token names; a refusal says so, too,
        for what is not found may be on its way.
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
"""A token fits into the line of a request."""
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
    """A contact that must have a score, by which it was last contacted then or later."""

    contact_id: UUID
    contacted_us: int = 0
    """In microseconds since 1970; 0: whenever, if ever."""


class Token(NamedTuple):
    """`linked` are contacts that must stand in an organization."""

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
        ValueError: they lie in too many partitions for one token, or the contacts are too many.
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
        ValueError: not a token that was handed out here.
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
    """One position a partition, in order."""
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
