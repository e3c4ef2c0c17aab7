"""Pipedrive's lists: what is read from each, in which order, and where a row stands in it. Pure.

Rule 1: a full walk goes by id, which is safe against insertions: new rows come at the end. A page
        has every id between its first and last, so a known one that is missing is suspected to be
        gone.
Rule 2: archived deals and leads are in lists of their own, and move from one to the other.
Rule 3: lead ids are UUIDs, and their lists are paged by offset: there only a complete walk shows
        what is missing, so what it has shown is kept until its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

NUMBER_BYTES: Final = 8

Params = Mapping[str, Any]


class Kind(StrEnum):
    """How a list is walked: by number, by offset, or read whole without looking for missing
    rows.
    """

    NUMBERED = "numbered"
    OFFSET = "offset"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class List:
    """`key` is the field that holds a row's id."""

    name: str
    entity: str
    path: str
    kind: Kind = Kind.NUMBERED
    key: str = "id"

    def place(self, entity_id: str) -> bytes:
        """Sorts as the list does."""
        return place(entity_id, is_number=self.kind is Kind.NUMBERED)

    def in_full(self) -> Params:
        match self.kind:
            case Kind.NUMBERED:
                return {"sort_by": "id", "sort_direction": "asc"}
            case Kind.OFFSET:
                return {"sort": "add_time ASC"}
            case Kind.WHOLE:
                return {}

    def changed(self, since: datetime) -> Params:
        if self.kind is Kind.NUMBERED:
            return {"updated_since": since, "sort_by": "update_time", "sort_direction": "asc"}
        if self is LEADS:
            return {"updated_since": since, "sort": "update_time ASC"}
        return {"sort": "update_time DESC"}  # archived leads cannot be filtered by time

    def newest(self) -> Params:
        return {"sort_by": "id", "sort_direction": "desc"}


USERS: Final = List("users", "user", "/v1/users", Kind.WHOLE)
LEAD_LABELS: Final = List("leadLabels", "leadLabel", "/v1/leadLabels", Kind.WHOLE)
FIELDS_OF: Final = {
    of: List(f"{of}Fields", f"{of}Field", f"/v2/{of}Fields", Kind.WHOLE, "field_code")
    for of in ("person", "organization", "deal", "activity")
}
FIELDS: Final = tuple(FIELDS_OF.values())
ORGANIZATIONS: Final = List("organizations", "organization", "/v2/organizations")
PERSONS: Final = List("persons", "person", "/v2/persons")
DEALS: Final = List("deals", "deal", "/v2/deals")
ARCHIVED_DEALS: Final = List("archivedDeals", "deal", "/v2/deals/archived")
ACTIVITIES: Final = List("activities", "activity", "/v2/activities")
LEADS: Final = List("leads", "lead", "/v1/leads", Kind.OFFSET)
ARCHIVED_LEADS: Final = List("archivedLeads", "lead", "/v1/leads/archived", Kind.OFFSET)

WALKED: Final = (
    ORGANIZATIONS,
    PERSONS,
    DEALS,
    ARCHIVED_DEALS,
    ACTIVITIES,
    LEADS,
    ARCHIVED_LEADS,
)
ALL: Final = {each.name: each for each in (USERS, LEAD_LABELS, *FIELDS, *WALKED)}
ARCHIVES: Final = {"deal": (DEALS, ARCHIVED_DEALS), "lead": (LEADS, ARCHIVED_LEADS)}
OF_ENTITY: Final = {each.entity: each for each in reversed(WALKED)}
"""The list of an entity's rows that are not archived."""
HAVE_NULL_UPDATE_TIMES: Final = (ORGANIZATIONS, PERSONS, DEALS)
"""Never edited rows of these have no `update_time`, and are missing from what changed."""


def holding(entity: str, *, is_archived: bool) -> List:
    """The list that has such a row."""
    if entity in ARCHIVES:
        living, archived = ARCHIVES[entity]
        return archived if is_archived else living
    return OF_ENTITY[entity]


def place(entity_id: str, *, is_number: bool) -> bytes:
    return int(entity_id).to_bytes(NUMBER_BYTES, "big") if is_number else entity_id.encode()


def entity_id(at: bytes, *, is_number: bool) -> str:
    return str(int.from_bytes(at, "big")) if is_number else at.decode()
