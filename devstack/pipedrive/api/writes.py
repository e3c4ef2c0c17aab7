"""Bodies of writes as states: what may be written, checked as Pipedrive does. Pure.

Rule 1: a field that is read-only or of the wrong type is refused, and the refusal names it.
Rule 2: what is not known is refused too: the API is strict about its bodies.
Rule 3: a link to what is not there is refused.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from random import Random
from typing import Any

from devstack.pipedrive import names, shapes
from devstack.pipedrive.api.asking import Rejected
from devstack.pipedrive.changes import State

Body = Mapping[str, Any]
Exists = Callable[[str, Any], bool]
"""Whether there is a living object of a kind with an id."""

LONGEST = 255
CLOCK_CHARS = 8
Check = Callable[[str, Any], Any]


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise Rejected(400, f"{name}: must be a text that is not empty")
    if len(value) > LONGEST:
        raise Rejected(400, f"{name}: at most {LONGEST} characters")
    return value


def _note(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise Rejected(400, f"{name}: must be a text")
    return value


def _id(name: str, value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Rejected(400, f"{name}: must be a number")
    return value


def _flag(name: str, value: Any) -> Any:
    if not isinstance(value, bool):
        raise Rejected(400, f"{name}: must be true or false")
    return value


def _day(name: str, value: Any) -> Any:
    try:
        return None if value is None else date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise Rejected(400, f"{name}: must be a date such as 2026-01-02") from error


def _clock(name: str, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str) or value.count(":") not in (1, 2):
        raise Rejected(400, f"{name}: must be a time such as 09:30")
    return value if len(value) == CLOCK_CHARS else f"{value}:00"


def _points(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        raise Rejected(400, f"{name}: must be a list")
    found: list[dict[str, Any]] = []
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("value"), str):
            raise Rejected(400, f"{name}: each has a value, a label and whether it is primary")
        label = str(one.get("label") or "work")
        primary = bool(one.get("primary", not found))
        found.append({"label": label, "value": one["value"], "primary": primary})
    return found


def _ids(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        raise Rejected(400, f"{name}: must be a list")
    return value


def _custom(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise Rejected(400, f"{name}: must be an object")
    return value


def _address(name: str, value: Any) -> Any:
    if value is None:
        return None
    text = value.get("value") if isinstance(value, dict) else value
    return {**(value if isinstance(value, dict) else {}), "value": _text(name, text)}


def _activity_type(name: str, value: Any) -> Any:
    if value not in shapes.ACTIVITY_TYPES:
        raise Rejected(400, f"{name}: there is no activity type {value!r}")
    return value


def _industry(name: str, value: Any) -> Any:
    if value is not None and value not in shapes.INDUSTRIES.values():
        raise Rejected(400, f"{name}: there is no option {value!r}")
    return value


FIELDS: Mapping[str, Mapping[str, Check]] = {
    "person": {
        "name": _text,
        "owner_id": _id,
        "org_id": _id,
        "emails": _points,
        "phones": _points,
        "label_ids": _ids,
        "job_title": _note,
        "custom_fields": _custom,
        "visible_to": _id,
    },
    "organization": {
        "name": _text,
        "owner_id": _id,
        "label_ids": _ids,
        "address": _address,
        "website": _note,
        "industry": _industry,
        "employee_count": _id,
        "custom_fields": _custom,
        "visible_to": _id,
    },
    "activity": {
        "subject": _text,
        "type": _activity_type,
        "owner_id": _id,
        "deal_id": _id,
        "lead_id": _note,
        "org_id": _id,
        "due_date": _day,
        "due_time": _clock,
        "duration": _clock,
        "done": _flag,
        "note": _note,
        "public_description": _note,
        "participants": _ids,
    },
    "deal": {"title": _text, "is_archived": _flag},
    "lead": {
        "title": _text,
        "owner_id": _id,
        "person_id": _id,
        "organization_id": _id,
        "label_ids": _ids,
        "value": _custom,
        "is_archived": _flag,
        "expected_close_date": _day,
    },
}
LINKS = {
    "owner_id": "user",
    "org_id": "organization",
    "organization_id": "organization",
    "person_id": "person",
    "deal_id": "deal",
}


def read(entity: str, body: Any, exists: Exists) -> dict[str, Any]:
    """The fields of a body, under the names of the state.

    Raises:
        Rejected: 400.
    """
    if not isinstance(body, dict):
        raise Rejected(400, "The body must be a JSON object")
    known = FIELDS[entity]
    for name in body:
        if name not in known:
            raise Rejected(400, f"{name}: is not allowed")
    found = {name: known[name](name, value) for name, value in body.items()}
    if "participants" in found:
        found["person_id"] = _participant(found.pop("participants"))
    for name, target in LINKS.items():
        if found.get(name) is not None and not exists(target, found[name]):
            raise Rejected(400, f"{target.capitalize()} not found")
    return found


def created(
    entity: str, body: Any, exists: Exists, *, new_id: Any, user_id: int, now: datetime
) -> dict[str, Any]:
    """The state of an object that a body makes.

    Raises:
        Rejected: 400.
    """
    fields = read(entity, body, exists)
    title = {"lead": "title", "activity": "subject"}.get(entity, "name")
    if title == "subject":
        fields.setdefault("subject", str(fields.get("type", "task")).capitalize())
    if title not in fields:
        raise Rejected(400, f"{title}: is required")
    if entity == "lead" and not (fields.get("person_id") or fields.get("organization_id")):
        raise Rejected(400, "A lead must have a person or an organization")
    owner = fields.get("owner_id") or user_id
    state = {**_empty(entity, new_id, owner, now), "owner_id": owner}
    stamp = shapes.millis if entity == "lead" else shapes.seconds
    at = stamp(now)
    state |= {"add_time": at, "update_time": at}
    return edited(entity, state, fields, now=now)


def edited(
    entity: str, state: State, fields: Mapping[str, Any], *, now: datetime
) -> dict[str, Any]:
    """The state after a write of fields that `read` has checked."""
    after = {**state, **fields}
    if "custom_fields" in fields:
        typed = {name: _typed(value) for name, value in fields["custom_fields"].items()}
        after["custom_fields"] = {**state["custom_fields"], **typed}
    if entity == "person" and "name" in fields:
        first, _, last = fields["name"].rpartition(" ")
        after |= {"first_name": first or last, "last_name": last if first else None}
    if entity == "activity" and after["done"] != state["done"]:
        after["marked_as_done_time"] = shapes.seconds(now) if after["done"] else None
    if entity == "deal" and after["is_archived"] != state["is_archived"]:
        after["archive_time"] = shapes.seconds(now) if after["is_archived"] else None
    if "visible_to" in fields:
        after["visible_to"] = str(fields["visible_to"])
    return after


def _empty(entity: str, new_id: Any, owner: int, now: datetime) -> dict[str, Any]:
    """Every field of the kind, with nothing in it."""
    rng = Random(0)
    match entity:
        case "person":
            state = shapes.person(new_id, owner, (None, ""), rng)
            empty: dict[str, Any] = {one: [] for one in ("emails", "phones", "label_ids")}
            return {**state, **empty, "label": None, "job_title": None}
        case "organization":
            state = shapes.organization(new_id, names.firm(0), "", owner, rng)
            nulls = ("address", "website", "industry", "employee_count")
            return {**state, **dict.fromkeys(nulls)}
        case "activity":
            state = shapes.activity(new_id, owner, now, rng)
            cleared = dict.fromkeys(("due_time", "duration", "marked_as_done_time", "due_date"))
            return {**state, **cleared, "type": "task", "done": False}
        case _:
            state = shapes.lead(owner, "", rng)
            return {**state, "id": new_id, "label_ids": [], "value": None}


def _participant(listed: list[Any]) -> Any:
    found = [one for one in listed if isinstance(one, dict)]
    chosen = next((one for one in found if one.get("primary")), found[0] if found else None)
    return _id("participants", chosen.get("person_id")) if chosen else None


def _typed(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"type": "double", "value": value}
    return {"type": "varchar", "value": str(value)}
