"""States as the REST API spells them: version 2, and version 1 where it has no successor. Pure.

Rule 1: a row has every key of its kind, null where there is nothing.
Rule 2: ids of others are plain numbers, `visible_to` is one too; of version 1's leads it is text.
Rule 3: custom fields are plain values: amounts of money with their currency, options as ids.
"""

from collections.abc import Callable, Mapping
from typing import Any

from devstack.pipedrive.changes import State

Row = dict[str, Any]

ADDRESS_PARTS = (
    "country",
    "admin_area_level_1",
    "admin_area_level_2",
    "locality",
    "sublocality",
    "route",
    "street_number",
    "subpremise",
    "postal_code",
)
UNMARKED = frozenset({"lead"})
"""Kinds whose rows do not say that they are deleted."""
DEAL_NULLS = ("local_won_date", "local_lost_date", "local_close_date", "acv", "arr", "mrr")


def person(state: State) -> Row:
    """With the fields that only companies with contact sync have: the job title is among them."""
    return {
        "id": state["id"],
        "name": state["name"],
        "first_name": state["first_name"],
        "last_name": state["last_name"],
        "add_time": state["add_time"],
        "update_time": state["update_time"],
        "visible_to": int(state["visible_to"]),
        "custom_fields": custom_fields(state),
        "owner_id": state["owner_id"],
        "label_ids": state["label_ids"],
        "org_id": state["org_id"],
        "is_deleted": _is_deleted(state),
        "picture_id": state["picture_id"],
        "phones": state["phones"],
        "emails": state["emails"],
        "notes": None,
        "im": [],
        "birthday": None,
        "job_title": state["job_title"],
        "postal_address": None,
    }


def organization(state: State) -> Row:
    return {
        "id": state["id"],
        "name": state["name"],
        "add_time": state["add_time"],
        "update_time": state["update_time"],
        "visible_to": int(state["visible_to"]),
        "custom_fields": custom_fields(state),
        "owner_id": state["owner_id"],
        "label_ids": state["label_ids"],
        "website": state["website"],
        "linkedin": state["linkedin"],
        "industry": state["industry"],
        "annual_revenue": state["annual_revenue"],
        "employee_count": state["employee_count"],
        "is_deleted": _is_deleted(state),
        "address": _address(state["address"]),
    }


def deal(state: State) -> Row:
    value = state["value"]
    return {
        "id": state["id"],
        "title": state["title"],
        "creator_user_id": state["creator_user_id"],
        "value": None if value is None else float(value),
        "person_id": state["person_id"],
        "org_id": state["org_id"],
        "stage_id": state["stage_id"],
        "currency": state["currency"],
        "add_time": state["add_time"],
        "update_time": state["update_time"],
        "status": "deleted" if _is_deleted(state) else state["status"],
        "probability": state["probability"],
        "lost_reason": state["lost_reason"],
        "visible_to": int(state["visible_to"]),
        "close_time": state["close_time"],
        "pipeline_id": state["pipeline_id"],
        "won_time": state["won_time"],
        "lost_time": state["lost_time"],
        "stage_change_time": state["stage_change_time"],
        "expected_close_date": state["expected_close_date"],
        **dict.fromkeys(DEAL_NULLS),
        "custom_fields": custom_fields(state),
        "owner_id": state["owner_id"],
        "label_ids": state["label_ids"],
        "is_deleted": _is_deleted(state),
        "origin": state["origin"],
        "origin_id": state["origin_id"],
        "channel": state["channel"],
        "channel_id": state["channel_id"],
        "is_archived": state["is_archived"],
        "archive_time": state["archive_time"],
    }


def activity(state: State) -> Row:
    about = state["person_id"]
    return {
        "id": state["id"],
        "subject": state["subject"],
        "type": state["type"],
        "owner_id": state["owner_id"],
        "creator_user_id": state["owner_id"],
        "is_deleted": _is_deleted(state),
        "add_time": state["add_time"],
        "update_time": state["update_time"],
        "deal_id": state["deal_id"],
        "lead_id": state["lead_id"],
        "person_id": about,
        "org_id": state["org_id"],
        "project_id": None,
        "due_date": state["due_date"],
        "due_time": state["due_time"],
        "duration": state["duration"],
        "done": state["done"],
        "busy": bool(state["busy_flag"]),
        "marked_as_done_time": state["marked_as_done_time"],
        "location": state["location"],
        "participants": [] if about is None else [{"person_id": about, "primary": True}],
        "conference_meeting_client": None,
        "conference_meeting_url": None,
        "conference_meeting_id": None,
        "public_description": state["public_description"] or None,
        "priority": None,
        "note": state["note"],
    }


def lead(state: State) -> Row:
    """Version 1."""
    return {
        "id": state["id"],
        "title": state["title"],
        "owner_id": state["owner_id"],
        "creator_id": state["creator_id"],
        "label_ids": state["label_ids"],
        "value": state["value"],
        "expected_close_date": state["expected_close_date"],
        "person_id": state["person_id"],
        "organization_id": state["organization_id"],
        "is_archived": state["is_archived"],
        "archive_time": state["update_time"] if state["is_archived"] else None,
        "source_name": "API",
        "source_deal_id": None,
        "origin": state["origin"],
        "origin_id": state["origin_id"],
        "channel": state["channel"],
        "channel_id": state["channel_id"],
        "was_seen": state["was_seen"],
        "next_activity_id": state["next_activity_id"],
        "add_time": state["add_time"],
        "update_time": state["update_time"],
        "visible_to": "3",
        "cc_email": f"company+lead{state['id'][:8]}@pipedrivemail.example",
        **custom_fields(state),
    }


def user(state: State) -> Row:
    """Version 1."""
    return {
        "id": state["id"],
        "name": state["name"],
        "email": state["email"],
        "lang": 1,
        "locale": state["locale"],
        "timezone_name": state["timezone_name"],
        "timezone_offset": "+02:00",
        "default_currency": state["default_currency"],
        "icon_url": state["icon_url"],
        "active_flag": state["active_flag"],
        "is_deleted": not state["active_flag"],
        "is_admin": 0,
        "role_id": 1,
        "created": state["created"],
        "has_created_company": False,
        "is_you": False,
        "access": [],
        "phone": state["phone"],
        "modified": state["modified"],
        "last_login": state["last_login"],
    }


def note(state: State) -> Row:
    """Version 1."""
    return {
        **{key: value for key, value in state.items() if key != "gone"},
        "task_id": None,
        "add_time": _spaced(state["add_time"]),
        "update_time": _spaced(state["update_time"]),
        "active_flag": not _is_deleted(state),
        "pinned_to_lead_flag": False,
        "last_update_user_id": None,
        "organization": None,
        "person": None,
        "deal": None,
        "lead": None,
        "user": None,
    }


SPELLED: Mapping[str, Callable[[State], Row]] = {
    "person": person,
    "organization": organization,
    "deal": deal,
    "activity": activity,
    "lead": lead,
    "user": user,
    "note": note,
}


def custom_fields(state: State) -> Row:
    return {name: _plain(field) for name, field in state["custom_fields"].items()}


def _plain(field: Any) -> Any:
    if field is None:
        return None
    match field["type"]:
        case "enum" | "people" | "org" | "user":
            return field["id"]
        case "set":
            return [one["id"] for one in field["values"]]
        case "monetary":
            return {"value": field["value"], "currency": field["currency"]}
        case _:
            return field["value"]


def _is_deleted(state: State) -> bool:
    return bool(state.get("gone"))


def _address(found: Any) -> Row | None:
    if not found:
        return None
    return {"value": found["value"], **{part: found.get(part) or None for part in ADDRESS_PARTS}}


def _spaced(moment: str | None) -> str | None:
    return None if moment is None else moment.replace("T", " ").removesuffix("Z")
