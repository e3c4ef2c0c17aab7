"""The parts of an event's body that count for a score, in this store's columns. Pure.

Rule 1: only what the body says is carried; an absent field, or an absent custom field, says
        nothing.
Rule 2: invalid values are carried as null, so they replace older ones and count nothing.
"""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from services.scoring.signals import bounded
from shared.events import (
    Action,
    ActivityChange,
    ContactPoint,
    DealChange,
    LeadChange,
    PersonChange,
)
from shared.tenants import Tenant

QUALIFIED = 1
CONTACTED = 2
STATUSES = {"qualified": QUALIFIED, "contacted": CONTACTED}
TEXT_CHARS = 200
PERCENT = 100.0


def person(change: PersonChange, tenant: Tenant) -> dict[str, Any]:
    body = change.data
    if body is None:
        return {}
    said = body.model_fields_set
    carried: dict[str, Any] = {}
    if "emails" in said:
        carried["has_email"] = _any_value(body.emails)
    if "phones" in said:
        carried["has_phone"] = _any_value(body.phones)
    if "org_id" in said:
        carried["org_id"] = body.org_id
    if "job_title" in said:
        carried["job_title"] = text(body.job_title)
    return carried | _custom(body.custom_fields or {}, tenant)


def _custom(custom: Mapping[str, Any], tenant: Tenant) -> dict[str, Any]:
    names = tenant.custom_fields
    carried: dict[str, Any] = {name: text(v) for name, v in names.told_title(custom).items()}
    if names.response_rate and names.response_rate in custom:
        carried["response_rate"] = rate(custom[names.response_rate])
    if names.lead_status and names.lead_status in custom:
        carried["lead_status"] = status(custom[names.lead_status], tenant.lead_labels)
    return carried


def activity(change: ActivityChange, _: Tenant) -> dict[str, Any]:
    body = change.data
    if body is None:
        return {}
    said = body.model_fields_set
    carried: dict[str, Any] = {}
    if change.action is not Action.DELETE:
        carried["occurred_at"] = change.occurred_at
    if "person_id" in said:
        carried["person_id"] = body.person_id
    if "type" in said:
        kind = text(body.type)
        carried["kind"] = kind and kind.lower()
    if "due_date" in said:
        carried["due_date"] = body.due_date
    if "done" in said:
        carried["done"] = bool(body.done)
    if "marked_as_done_time" in said:
        carried["done_at"] = body.marked_as_done_time
    return carried


def deal(change: DealChange, _: Tenant) -> dict[str, Any]:
    body = change.data
    if body is None:
        return {}
    said = body.model_fields_set
    carried: dict[str, Any] = {}
    if "person_id" in said:
        carried["person_id"] = body.person_id
    if "value" in said:
        carried["amount"] = bounded(body.value)
    if "currency" in said:
        currency = text(body.currency)
        carried["currency"] = currency and currency.upper()
    if "status" in said:
        carried["is_lost"] = (text(body.status) or "").lower() == "lost"
    return carried


def lead(change: LeadChange, tenant: Tenant) -> dict[str, Any]:
    body = change.data
    if body is None:
        return {}
    said = body.model_fields_set
    carried: dict[str, Any] = {}
    if "person_id" in said:
        carried["person_id"] = body.person_id
    if "is_archived" in said:
        carried["is_archived"] = bool(body.is_archived)
    if "label_ids" in said:
        labels = (tenant.lead_labels.get(label) for label in body.label_ids or ())
        carried["label_status"] = _bits(labels)
    name = tenant.custom_fields.lead_status
    if name and body.custom_fields and name in body.custom_fields:
        carried["custom_status"] = status(body.custom_fields[name], tenant.lead_labels)
    return carried


def moment(fields: Mapping[str, Any]) -> datetime | None:
    """When an activity that is not deleted was done; null if it is not done."""
    if not fields["done"]:
        return None
    done_at: datetime | None = fields["done_at"]
    if done_at is not None:
        return done_at
    occurred_at: datetime | None = fields["occurred_at"]
    due: date | None = fields["due_date"]
    if due is None:
        return occurred_at
    day = datetime(due.year, due.month, due.day, tzinfo=UTC)
    return min((each for each in (day, occurred_at) if each is not None), default=None)


def text(value: object) -> str | None:
    """Made acceptable to Postgres: without NUL, cut; null if nothing is left."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return str(value).replace("\x00", "").strip()[:TEXT_CHARS].strip() or None


def rate(value: object) -> float | None:
    """A share between 0 and 1, from `0.6`, `"0,6"`, `"60 %"` or a percentage above 1."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    percent = False
    if isinstance(value, str):
        percent = value.rstrip().endswith("%")
        value = value.strip().rstrip("%").replace(",", ".")[:TEXT_CHARS]
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if percent or 1 < number <= PERCENT:
        number /= PERCENT
    return number if math.isfinite(number) and 0 <= number <= 1 else None


def status(value: object, labels: Mapping[str, str]) -> int:
    """The statuses in a custom field, one or more, by word, by label or by option id: version 1
    writes several options as comma-separated text.
    """
    values = value if isinstance(value, list | tuple) else [value]
    found = [text(named) or "" for each in values for named in (each, *_parts(each))]
    return _bits([labels.get(each, each.lower()) for each in found])


def _parts(value: object) -> list[str]:
    return value.split(",") if isinstance(value, str) else []


def _bits(statuses: Any) -> int:
    bits = 0
    for each in statuses:
        bits |= STATUSES.get(each, 0)
    return bits


def _any_value(points: tuple[ContactPoint, ...] | None) -> bool:
    return any(point.value.strip() for point in points or ())
