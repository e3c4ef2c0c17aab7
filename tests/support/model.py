"""The reference model: what every user's page must show, worked out from scratch in memory.

It shares no code with the services, so both can only agree by both being right.
Rule 1: rows first, then links through merges, then pages; nothing is kept between calls.
Rule 2: the order of the bodies is of no consequence, and duplicates change nothing.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tests.support.model_rows import ORGANIZATION_FIELDS, Group, Rows, Tenant, primary, when
from tests.support.model_score import points
from tests.support.webhook_reading import Body, Row, moment

Contact = dict[str, Any]

LATEST = 5
TIMES = ("lastContacted", "createdAt", "lastPipedriveUpdate")


def expected_pages(
    bodies: Iterable[Body], *, company_id: int, now: datetime, tenant: Tenant | None = None
) -> dict[str, list[Contact]]:
    """Each owner's contacts in the order of the list, without `updatedAt`; but those of users who
    can read nothing any more.
    """
    rows = Rows(bodies, company_id, tenant or {})
    closed = {user.entity_id for user in rows.rows["user"].values() if is_deactivated(user)}
    pages: dict[str, list[Contact]] = defaultdict(list)
    for person in rows.living("person"):
        if (owner := person.get("owner_id")) and owner not in closed:
            pages[owner].append(contact(rows, person, now))
    return {owner: sorted(found, key=list_order) for owner, found in pages.items()}


def is_deactivated(user: Row) -> bool:
    return not user.is_living or user.get("active_flag") is False


def expected_scores(
    bodies: Iterable[Body], *, company_id: int, now: datetime, tenant: Tenant | None = None
) -> dict[str, dict[str, int]]:
    """Person id → points by component, before the clamp."""
    rows = Rows(bodies, company_id, tenant or {})
    return {one.entity_id: points(rows, one, now) for one in rows.living("person")}


def comparable(contact: Contact) -> Contact:
    """Times as datetimes, `updatedAt` left out: for comparing answers with the model's."""
    shown = {key: value for key, value in contact.items() if key != "updatedAt"}
    for key in TIMES:
        shown[key] = as_time(shown[key])
    if org := shown["organization"]:
        shown["organization"] = {**org, "lastActivity": as_time(org["lastActivity"])}
    shown["activities"] = [
        {**one, "createdAt": as_time(one["createdAt"])} for one in shown["activities"]
    ]
    return shown


def as_time(text: str | None) -> datetime | None:
    return None if text is None else moment(text)


def list_order(contact: Contact) -> tuple[Any, ...]:
    """In campaign first, coldest first, longest silent first, newest first, id."""
    last, created = as_time(contact["lastContacted"]), as_time(contact["createdAt"])
    return (
        not contact["addedToCampaign"],
        contact["warmnessScore"],
        last is None,
        last or datetime.max.replace(tzinfo=UTC),
        -(created or datetime.min.replace(tzinfo=UTC)).timestamp(),
        contact["id"],
    )


def contact_id(company_id: int, person_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{company_id}:{person_id}"))


def organization_id(company_id: int, lowest: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{company_id}:org:{lowest}"))


def contact(rows: Rows, person: Row, now: datetime) -> Contact:
    group = rows.group_of(person)
    created, updated = when(person.get("add_time")), when(person.get("update_time"))
    return {
        "id": contact_id(rows.company_id, person.entity_id),
        "pipedrivePersonId": person.entity_id,
        "name": person.get("name"),
        "email": primary(person.get("emails")),
        "phone": primary(person.get("phones")),
        "jobTitle": rows.job_title(person),
        "warmnessScore": min(10, max(0, sum(points(rows, person, now).values()))),
        "lastContacted": iso(rows.last_contacted(person)),
        "addedToCampaign": False,
        "organizationId": organization_id(rows.company_id, group.lowest) if group else None,
        "organization": organization(rows, group) if group else None,
        "activities": [shown_activity(one) for one in latest(rows, person)],
        "lastPipedriveUpdate": iso(updated or created),
        "createdAt": iso(created),
    }


def organization(rows: Rows, group: Group) -> Contact:
    return {
        "id": organization_id(rows.company_id, group.lowest),
        "pipedriveOrgId": group.lowest,
        **{shown: group.first(shown) for shown in ORGANIZATION_FIELDS},
        "contactCount": rows.contact_counts[group.lowest],
        "lastActivity": iso(rows.last_activities.get(group.lowest)),
    }


def latest(rows: Rows, person: Row) -> list[Row]:
    found = rows.by_person["activity"][person.entity_id]
    beginning = datetime.min.replace(tzinfo=UTC)
    found = sorted(
        found,
        key=lambda one: (when(one.get("add_time")) or beginning, int(one.entity_id)),
        reverse=True,
    )
    return found[:LATEST]


def iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def shown_activity(row: Row) -> Contact:
    return {
        "id": row.entity_id,
        "type": row.get("type"),
        "subject": row.get("subject"),
        "done": bool(row.get("done")),
        "dueDate": row.get("due_date"),
        "createdAt": iso(when(row.get("add_time"))),
    }
