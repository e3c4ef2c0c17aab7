"""What the company says of itself: fields, labels, activity types. Pure."""

from collections.abc import Mapping
from typing import Any

from devstack.pipedrive import shapes

Field = dict[str, Any]

OWN: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "person": (
        ("name", "Name", "varchar"),
        ("emails", "Email", "varchar"),
        ("phones", "Phone", "phone"),
        ("org_id", "Organization", "org"),
        ("owner_id", "Owner", "user"),
        ("job_title", "Job title", "varchar"),
        ("add_time", "Person created", "date"),
        ("update_time", "Update time", "date"),
    ),
    "organization": (
        ("name", "Name", "varchar"),
        ("address", "Address", "address"),
        ("owner_id", "Owner", "user"),
        ("website", "Website", "varchar"),
        ("industry", "Industry", "enum"),
        ("employee_count", "Number of employees", "double"),
    ),
    "deal": (
        ("title", "Title", "varchar"),
        ("value", "Value", "monetary"),
        ("status", "Status", "enum"),
        ("person_id", "Contact person", "people"),
        ("org_id", "Organization", "org"),
    ),
    "activity": (
        ("subject", "Subject", "varchar"),
        ("type", "Type", "enum"),
        ("due_date", "Due date", "date"),
        ("done", "Done", "enum"),
    ),
}
STAGES = ("Qualified", "Contact made", "Demo scheduled", "Proposal made", "Negotiations")
LONG_AGO = "2024-01-01 00:00:00"
OPTIONS = {
    "industry": [{"id": number, "label": label} for label, number in shapes.INDUSTRIES.items()]
}
CUSTOM_TYPES = {"response_rate": "double", "language": "varchar", "budget": "monetary"}


def fields(entity: str) -> list[Field]:
    """Version 2's, of persons, organizations, deals and activities."""
    own = [_field(code, name, kind) for code, name, kind in OWN[entity]]
    if entity != "person":
        return own
    custom = [
        _field(code, name.replace("_", " ").capitalize(), CUSTOM_TYPES[name], is_custom=True)
        for name, code in shapes.CUSTOM_FIELDS.items()
    ]
    return own + custom


def lead_fields() -> list[Field]:
    """Version 1's."""
    own = (("title", "Title", "varchar"), ("value", "Value", "monetary"))
    flags = ("active", "add_visible", "details_visible", "index_visible", "filtering_allowed")
    return [
        {
            "id": number,
            "key": key,
            "name": name,
            "field_type": kind,
            "order_nr": number,
            "add_time": LONG_AGO,
            "update_time": LONG_AGO,
            "created_by_user_id": None,
            "last_updated_by_user_id": None,
            **{f"{flag}_flag".replace("allowed_flag", "allowed"): True for flag in flags},
            "sortable_flag": True,
            "searchable_flag": False,
            "bulk_edit_allowed": True,
            "important_flag": False,
            "mandatory_flag": key == "title",
            "edit_flag": False,
            "options": None,
        }
        for number, (key, name, kind) in enumerate(own, start=1)
    ]


def pipelines() -> list[Field]:
    return [
        {
            "id": 1,
            "name": "Pipeline",
            "order_nr": 1,
            "is_deleted": False,
            "is_deal_probability_enabled": False,
            "add_time": "2024-01-01T00:00:00Z",
            "update_time": None,
        }
    ]


def stages() -> list[Field]:
    return [
        {
            "id": number,
            "name": name,
            "order_nr": number,
            "is_deleted": False,
            "deal_probability": 100,
            "pipeline_id": 1,
            "is_deal_rot_enabled": False,
            "days_to_rotten": None,
            "add_time": "2024-01-01T00:00:00Z",
            "update_time": None,
        }
        for number, name in enumerate(STAGES, start=1)
    ]


def lead_labels() -> list[Field]:
    at = "2024-01-01T00:00:00.000Z"
    colors = ("green", "blue", "red")
    return [
        {"id": uuid, "name": name, "color": color, "add_time": at, "update_time": at}
        for (name, uuid), color in zip(shapes.LEAD_LABELS.items(), colors, strict=True)
    ]


def activity_types() -> list[Field]:
    return [
        {
            "id": number,
            "order_nr": number,
            "name": key.capitalize(),
            "key_string": key,
            "icon_key": key,
            "active_flag": True,
            "color": None,
            "is_custom_flag": False,
            "add_time": LONG_AGO,
            "update_time": None,
        }
        for number, key in enumerate(dict.fromkeys(shapes.ACTIVITY_TYPES), start=1)
    ]


def _field(code: str, name: str, kind: str, *, is_custom: bool = False) -> Field:
    return {
        "field_name": name,
        "field_code": code,
        "description": None,
        "field_type": kind,
        "options": OPTIONS.get(code),
        "subfields": None,
        "is_custom_field": is_custom,
        "is_optional_response_field": False,
        "ui_visibility": {"add_visible_flag": True, "details_visible_flag": True},
        "important_fields": {"enabled": False, "stage_ids": []},
        "required_fields": {"enabled": code in ("name", "title", "subject")},
    }
