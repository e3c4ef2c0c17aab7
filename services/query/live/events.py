"""What a stream says, and the ids by which it is resumed. Pure.

Rule 1: of the events of one frame only the last carries an id: a connection that breaks in between
        resumes before all of them.
Rule 2: an id is a place in the log of changes. An id that is not ours is no place.
Rule 3: a frame that would be too long becomes a request to read everything again.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from services.query import answers

RETRY: Final = b"retry: %d\n\n"
MOST_ID_CHARS: Final = 4_000
MOST_FRAME_BYTES: Final = 1024 * 1024
"""Twice what a hundred contacts take whose subjects are as long as Pipedrive allows."""
TOLD: Final = timedelta(minutes=10)
"""The maximum age of a place from which a client can resume."""
_ID: Final = re.compile(
    r"([0-9a-f]{32})-(\d{1,11})-(\d{1,20}:\d{1,20}:(?:\d{1,20}(?:,\d{1,20})*)?)",
    re.ASCII,  # Postgres accepts no other digits
)
_BIGGEST_XID: Final = 2**63


class Place(NamedTuple):
    """A reader's position: the snapshot, when it was taken, and the epoch since the last crash."""

    epoch: UUID
    at: datetime
    snapshot: str

    def leads_to(self, later: Self) -> bool:
        """Whether everything between them is still known at the later one."""
        return (
            self.epoch == later.epoch
            and later.at - self.at <= TOLD
            and _last(self.snapshot) <= _last(later.snapshot)
        )


def encode(place: Place) -> str:
    return f"{place.epoch.hex}-{int(place.at.timestamp())}-{place.snapshot}"


def decode(text: str) -> Place | None:
    found = _ID.fullmatch(text) if len(text) <= MOST_ID_CHARS else None
    if found is None:
        return None
    epoch, at, snapshot = found.groups()
    if not _is_snapshot(snapshot):
        return None
    return Place(UUID(epoch), datetime.fromtimestamp(int(at), UTC), snapshot)


def _last(snapshot: str) -> int:
    return int(snapshot.split(":")[1])


def _is_snapshot(text: str) -> bool:
    """Whether Postgres accepts it: the numbers in order, those still running in between."""
    first, last, between = text.split(":")
    xmin, xmax = int(first), int(last)
    still_open = [int(each) for each in between.split(",") if each]
    return (
        0 < xmin <= xmax < _BIGGEST_XID
        and still_open == sorted(set(still_open))
        and all(xmin <= each < xmax for each in still_open)
    )


@dataclass(frozen=True, slots=True)
class News:
    """The present state of what changed for one user. If `contacts` is null, anything may
    differ.
    """

    total: int = 0
    contacts: Sequence[dict[str, Any]] | None = ()
    removed: Sequence[UUID] = ()
    organizations: Sequence[tuple[UUID, dict[str, Any] | None]] = ()
    status: dict[str, Any] | None = None


RESET: Final = News(contacts=None)


def frame(news: News, place: Place) -> bytes:
    """What is sent; null news make an empty frame."""
    said = list(_said(news))
    if not said:
        return b""
    parts = [b"event: %b\ndata: %b\n" % (name, answers.dump(data)) for name, data in said]
    parts[-1] += b"id: %b\n" % encode(place).encode()
    whole = b"\n".join(parts) + b"\n"
    return whole if len(whole) <= MOST_FRAME_BYTES else frame(RESET, place)


def beat(place: Place | None) -> bytes:
    """Keeps a quiet connection open. An id alone is no event, yet the client remembers it."""
    known = b"id: %b\n" % encode(place).encode() if place is not None else b""
    return b": beat\n%b\n" % known


def _said(news: News) -> Iterable[tuple[bytes, dict[str, Any]]]:
    if news.contacts is None:
        yield b"reset", {}
        return
    for contact_id in news.removed:
        yield b"removed", {"id": str(contact_id), "total": news.total}
    for contact in news.contacts:
        yield b"contact", {"contact": contact, "total": news.total}
    for organization_id, organization in news.organizations:
        yield b"organization", {"id": str(organization_id), "organization": organization}
    if news.status is not None:
        yield b"sync", {"syncStatus": news.status}
