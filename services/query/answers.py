"""What the API answers: from rows to the JSON of the contract. Pure.

Rule: keys are in the order in which they are written here; `Model.model_fields` documents them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from services.query import cursor
from services.query.contact import SECOND
from services.query.cursor import Key, OrganizationKey
from shared.json_model import Json


class Row(Protocol):
    """A row as the driver returns it."""

    def __getitem__(self, name: str, /) -> Any: ...


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_INSTANT_US: Final = 253_402_300_799_999_999
"""The end of the year 9999, the last that a date can hold."""

NEVER_SYNCED: Final = {"state": "never", "lastSyncAt": None, "processed": 0, "failed": 0}


class Organization(Json):
    """An organization, as all users of the company see it."""

    id: UUID
    name: str | None
    pipedrive_org_id: str | None
    industry: str | None
    size: str | None
    website: str | None
    address: str | None
    country: str | None
    city: str | None
    contact_count: int = Field(description="contacts of all owners")
    last_activity: datetime | None


class Activity(Json):
    """An activity in Pipedrive."""

    id: str = Field(description="Pipedrive's")
    type: str | None
    subject: str | None
    done: bool
    due_date: date | None
    created_at: datetime | None


class Contact(Json):
    """A contact in a user's list."""

    id: UUID
    pipedrive_person_id: str
    name: str | None
    email: str | None
    phone: str | None
    job_title: str | None
    warmness_score: int = Field(ge=0, le=10)
    last_contacted: datetime | None
    added_to_campaign: bool
    organization_id: UUID | None
    organization: Organization | None
    activities: list[Activity] = Field(description="newest five by createdAt")
    last_pipedrive_update: datetime
    created_at: datetime
    updated_at: datetime = Field(
        description="time of the newest change of the contact's person, score, link or campaign; "
        "its activities and its organization's fields do not count"
    )


class Pagination(Json):
    """Position of the page. With a cursor, `page` repeats the requested one."""

    page: int
    limit: int
    total: int
    total_pages: int
    has_next: bool
    has_prev: bool
    next_cursor: str | None


class Performance(Json):
    """How the answer was made; times in milliseconds."""

    query_time: float = Field(description="time to read the page; 0 if it came from the cache")
    cache_hit: bool
    total_time: float
    after: Literal["shown", "pending"] | None = Field(
        None, description="if a token was given: whether the page shows that write"
    )


class Beside(BaseModel):
    """Fields beside a page's data."""

    performance: Performance
    stale: Literal[True] | None = Field(
        None, description="from the cache while Postgres is unavailable; may be outdated"
    )


class SyncStatus(Json):
    """The state of the company's last sync with Pipedrive."""

    state: str = Field(description="idle, running, failed or never")
    last_sync_at: datetime | None
    processed: int
    failed: int


class ContactsPage(Json):
    """A page of the user's contacts; `performance` beside it has the timings."""

    contacts: list[Contact]
    pagination: Pagination
    sync_status: SyncStatus


class UserOrganization(Organization):
    """An organization, and how many of its contacts are the user's."""

    own_contact_count: int


class OrganizationsPage(Json):
    """A page of the organizations that the user's contacts belong to."""

    organizations: list[UserOrganization]
    pagination: Pagination


def dump(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_UTC_Z)


def contacts(rows: Sequence[Row], activities: Iterable[Row]) -> list[dict[str, Any]]:
    of_person: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in activities:
        of_person[row["contact"]].append(_activity(row))
    return [_contact(row, of_person[row["person_id"]]) for row in rows]


def _contact(row: Row, activities: list[dict[str, Any]]) -> dict[str, Any]:
    created_at = row["add_time"] or row["update_time"] or _instant(row["version"])
    has_organization = row["organization_id"] is not None
    return {
        "id": str(row["contact_id"]),
        "pipedrivePersonId": str(row["person_id"]),
        "name": row["name"],
        "email": row["email"],
        "phone": row["phone"],
        "jobTitle": row["job_title"],
        "warmnessScore": row["score"],
        "lastContacted": row["last_contacted"],
        "addedToCampaign": row["added_to_campaign"],
        "organizationId": str(row["organization_id"]) if has_organization else None,
        "organization": organization(row) if has_organization else None,
        "activities": activities,
        "lastPipedriveUpdate": row["update_time"] or created_at,
        "createdAt": created_at,
        "updatedAt": _instant(row["newest_version"]),
    }


def _activity(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["activity_id"]),
        "type": row["type"],
        "subject": row["subject"],
        "done": bool(row["done"]),
        "dueDate": row["due_date"],
        "createdAt": row["add_time"],
    }


def organization(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["organization_id"]),
        "name": row["organization_name"],
        "pipedriveOrgId": row["pipedrive_org_id"],
        "industry": row["industry"],
        "size": row["size"],
        "website": row["website"],
        "address": row["address"],
        "country": row["country"],
        "city": row["city"],
        "contactCount": row["contact_count"],
        "lastActivity": row["last_activity"],
    }


def user_organization(row: Row) -> dict[str, Any]:
    return organization(row) | {"ownContactCount": row["contacts"]}


def pagination(
    *,
    page: int,
    limit: int,
    total: int,
    has_next: bool,
    has_prev: bool,
    next_key: Key | OrganizationKey | None,
) -> dict[str, Any]:
    return {
        "page": page,
        "limit": limit,
        "total": total,
        "totalPages": math.ceil(total / limit),
        "hasNext": has_next,
        "hasPrev": has_prev,
        "nextCursor": _next_cursor(next_key),
    }


def _next_cursor(key: Key | OrganizationKey | None) -> str | None:
    if isinstance(key, OrganizationKey):
        return cursor.encode_organization(key)
    return cursor.encode(key) if key is not None else None


def sync_status(row: Row | None) -> dict[str, Any]:
    if row is None:
        return NEVER_SYNCED
    return {
        "state": row["state"],
        "lastSyncAt": row["last_sync_at"],
        "processed": row["processed"],
        "failed": row["failed"],
    }


def _instant(version: int) -> datetime:
    """Truncated to the second: a sync's version is the end of one, and must look like a webhook's
    within it.
    """
    return EPOCH + timedelta(seconds=min(version, LAST_INSTANT_US) // SECOND)
