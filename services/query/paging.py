"""Finds the page with a number without counting its way there. Pure.

Rule 1: the list is a sequence of buckets, one per campaign side and score, whose sizes are known;
        a page's first row is in one of them, at a known place.
Rule 2: inside a bucket the row is searched from the nearer end.
Rule 3: from that row on, a page by number is read like a page by cursor.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from services.query.cursor import Key
from services.query.request import Filters

LOWEST = -(2**63)
NOBODY = UUID(int=0)


class Bucket(NamedTuple):
    not_in_campaign: bool
    score: int
    contacts: int


@dataclass(frozen=True, slots=True)
class Place:
    """The `within`-th row (from 0) of a bucket."""

    bucket: Bucket
    within: int

    @property
    def is_in_the_first_half(self) -> bool:
        return self.within <= self.bucket.contacts // 2


class Bounds(NamedTuple):
    """What to read on one side of the campaign, if enabled: rows after the key of four fields."""

    enabled: bool
    score: int
    contacted_key: int
    created_key: int
    contact_id: UUID


def wanted(buckets: Iterable[Bucket], filters: Filters) -> list[Bucket]:
    """The buckets that pass the filters, in the list's order."""
    low, high = filters.scores
    return sorted(
        bucket
        for bucket in buckets
        if low <= bucket.score <= high
        and bucket.contacts > 0
        and filters.in_campaign in (None, not bucket.not_in_campaign)
    )


def place(buckets: Iterable[Bucket], offset: int) -> Place | None:
    """The place of the row that comes after `offset` others; null past the end."""
    for bucket in buckets:
        if offset < bucket.contacts:
            return Place(bucket, offset)
        offset -= bucket.contacts
    return None


def start_of(bucket: Bucket) -> Key:
    """A key before every row of the bucket, and after every row of the previous ones."""
    return Key(bucket.not_in_campaign, bucket.score, LOWEST, LOWEST, NOBODY)


def bounds(after: Key, filters: Filters) -> tuple[Bounds, Bounds]:
    """What follows a key: in the campaign, and out of it."""
    low, _ = filters.scores
    fresh = (low, LOWEST, LOWEST, NOBODY)
    rest = max(after[1:], fresh)
    within = Bounds(
        filters.in_campaign is not False and not after.not_in_campaign,
        *(fresh if after.not_in_campaign else rest),
    )
    without = Bounds(filters.in_campaign is not True, *(rest if after.not_in_campaign else fresh))
    return within, without
