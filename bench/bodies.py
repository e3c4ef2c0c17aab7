"""Webhook bodies for load: many, small, valid, distinct."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bench.people import firms

COMPANY = 7001


def meta(entity: str, entity_id: int, at: datetime, number: int) -> dict[str, Any]:
    return {
        "action": "create",
        "entity": entity,
        "entity_id": str(entity_id),
        "company_id": str(COMPANY),
        "user_id": "11",
        "webhook_id": "1",
        "webhook_owner_id": "11",
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "correlation_id": f"00000000-0000-4000-9000-{number:012d}",
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "type": "general",
        "version": "2.0",
        "change_source": "app",
        "is_bulk_edit": False,
        "attempt": 1,
        "host": "bench.pipedrive.com",
        "permitted_user_ids": ["11"],
    }


def seconds(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def person(
    number: int, *, owner: int, org: int | None, at: datetime, name: str | None = None
) -> dict[str, Any]:
    data = {
        "id": number,
        "name": name or f"Person {number}",
        "first_name": "Person",
        "last_name": str(number),
        "emails": [{"label": "work", "value": f"p{number}@mail.example", "primary": True}],
        "phones": [{"label": "work", "value": f"+372 {number:07d}", "primary": True}],
        "label": None,
        "label_ids": [],
        "org_id": org,
        "owner_id": owner,
        "add_time": seconds(at - timedelta(days=number % 900)),
        "update_time": seconds(at),
        "visible_to": "3",
        "custom_fields": {},
    }
    stamp = int(at.timestamp() * 1000) * 1000 + number % 1000
    return {"data": data, "previous": None, "meta": meta("person", number, at, stamp)}


def firm(number: int) -> str:
    """A realistic firm name: thousands that differ in a number only are all alike, and comparing
    them takes minutes.
    """
    ((name, _),) = firms(Random(number), 1)
    return name


def organization(number: int, *, at: datetime) -> dict[str, Any]:
    data = {
        "id": number,
        "name": firm(number),
        "owner_id": 11,
        "address": None,
        "country_code": None,
        "label": None,
        "picture_id": None,
        "add_time": seconds(at),
        "update_time": seconds(at),
        "visible_to": "3",
        "custom_fields": {},
    }
    return {"data": data, "previous": None, "meta": meta("organization", number, at, number)}


def activity(number: int, *, person_id: int, at: datetime) -> dict[str, Any]:
    data = {
        "active_flag": True,
        "add_time": seconds(at),
        "busy_flag": None,
        "custom_fields": {},
        "deal_id": None,
        "done": True,
        "due_date": at.date().isoformat(),
        "due_time": None,
        "duration": None,
        "id": number,
        "lead_id": None,
        "location": None,
        "org_id": None,
        "owner_id": 11,
        "person_id": person_id,
        "public_description": "",
        "subject": f"Call {number}",
        "type": "call",
        "update_time": seconds(at),
        "update_user_id": None,
    }
    return {"data": data, "previous": None, "meta": meta("activity", number, at, number)}


def contacts(count: int, *, organizations: int, owners: int) -> Iterator[dict[str, Any]]:
    """An import: first the organizations, then the persons of all owners."""
    at = datetime.now(UTC)
    for number in range(1, organizations + 1):
        yield organization(number, at=at)
    for number in range(1, count + 1):
        yield person(number, owner=100 + number % owners, org=1 + number % organizations, at=at)
