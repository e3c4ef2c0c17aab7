"""Changes as webhook bodies, version 1: flat names, joined names and counters, full objects.

Rule 1: `current` and `previous` are whole objects, times have no zone and mean UTC.
Rule 2: a merge is `merged.x` about the survivor, whose `previous` is the loser, and `deleted.x`.
Rule 3: version 1 knows no leads: `can_say` tells.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from devstack.pipedrive.bodies import Body, Hook, digest
from devstack.pipedrive.changes import Change, State
from devstack.pipedrive.names import words

ACTIONS = {"create": "added", "change": "updated", "delete": "deleted"}
TIMES = words(
    "add_time update_time close_time won_time first_won_time lost_time stage_change_time "
    "archive_time marked_as_done_time"
)
ADDRESS_PARTS = words(
    "subpremise street_number route sublocality locality admin_area_level_1 "
    "admin_area_level_2 country postal_code formatted_address"
)
SHARED_COUNTERS = words(
    "email_messages_count activities_count done_activities_count undone_activities_count "
    "files_count notes_count followers_count"
)
PARTY_COUNTERS = words(
    "open_deals_count related_open_deals_count closed_deals_count related_closed_deals_count "
    "won_deals_count related_won_deals_count lost_deals_count related_lost_deals_count"
)
PERSON_COUNTERS = ("participant_open_deals_count", "participant_closed_deals_count")
NEIGHBOURS = words(
    "next_activity_date next_activity_time next_activity_id last_activity_id last_activity_date"
)
DEAL_NULLS = words(
    "acv acv_currency arr arr_currency mrr mrr_currency local_close_date local_won_date "
    "local_lost_date next_activity_type next_activity_duration next_activity_subject "
    "next_activity_note rotten_time last_incoming_mail_time last_outgoing_mail_time"
)
TO_EVERYONE = frozenset({"activity", "note"})

Names = Mapping[str, str | None]


def can_say(change: Change) -> bool:
    return change.entity != "lead"


def v1(change: Change, hook: Hook) -> Body:
    flat = FLAT[change.entity]
    current = None if change.state is None else flat(change.state, change.names, hook)
    previous = None if change.previous is None else flat(change.previous, change.names, hook)
    action = ACTIONS[change.action]
    if current is not None and change.absorbed is not None:
        action = "merged"
        current["merge_what_id"] = change.merged_from
        previous = flat(change.absorbed, change.names, hook)
    filters: Body | None = None if change.entity == "note" else {"current": []}
    in_list = change.entity == "user"
    return {
        "v": 1,
        "matches_filters": filters,
        "meta": _meta(change, hook, action, filters),
        "current": [current] if in_list and current is not None else current,
        "previous": [previous] if in_list and previous is not None else previous,
        "retry": 0,
        "event": f"{action}.{change.entity}",
    }


def _meta(change: Change, hook: Hook, action: str, filters: Body | None) -> Body:
    micros = round((change.at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    return {
        "action": action,
        "change_source": "app" if digest(hook, change.number, "source")[0] % 4 else "api",
        "company_id": hook.company_id,
        "host": hook.host,
        "id": change.entity_id,
        "is_bulk_update": False,
        "matches_filters": filters,
        "object": change.entity,
        "permitted_user_ids": ["*"] if change.entity in TO_EVERYONE else list(hook.user_ids),
        "pipedrive_service_name": False,
        "timestamp": micros // 1_000_000,
        "timestamp_micro": micros,
        "prepublish_timestamp": micros // 1000 + 15,
        "trans_pending": False,
        "user_id": change.user_id,
        "v": 1,
        "webhook_id": str(hook.webhook_id),
    }


def _respelled(state: State) -> Body:
    """Times without T and Z, and every typed custom field as plain flat keys."""
    flat = {key: value for key, value in state.items() if key != "custom_fields"}
    for key in TIMES:
        if flat.get(key) is not None:
            flat[key] = str(flat[key]).replace("T", " ").removesuffix("Z")
    for key, field in state.get("custom_fields", {}).items():
        flat |= _flat_field(key, field)
    return flat


def _flat_field(key: str, field: Body | None) -> Body:
    if field is None:
        return {key: None}
    match field["type"]:
        case "enum":
            return {key: str(field["id"])}
        case "set":
            return {key: ",".join(str(one["id"]) for one in field["values"])}
        case "monetary":
            return {key: field["value"], f"{key}_currency": field["currency"]}
        case "people" | "org" | "user":
            return {key: field["id"]}
        case _:
            return {key: field["value"]}


def _contact_points(found: list[Body]) -> list[Body]:
    return found or [{"value": "", "primary": True}]


def _party(state: State, names: Names, hook: Hook) -> Body:
    """What persons and organizations have in common."""
    return {
        **_respelled(state),
        **dict.fromkeys((*SHARED_COUNTERS, *PARTY_COUNTERS), 0),
        **dict.fromkeys(NEIGHBOURS),
        "active_flag": True,
        "company_id": hook.company_id,
        "owner_name": names["owner"],
        "first_char": (state["name"] or " ")[0].lower(),
        "delete_time": None,
        "cc_email": f"company{hook.company_id}@pipedrivemail.example",
    }


def _person(state: State, names: Names, hook: Hook) -> Body:
    flat = _party(state, names, hook) | dict.fromkeys(PERSON_COUNTERS, 0)
    emails, phones = flat.pop("emails"), flat.pop("phones")
    if emails:
        flat["primary_email"] = next(one["value"] for one in emails if one["primary"])
    return flat | {
        "email": _contact_points(emails),
        "phone": _contact_points(phones),
        "im": _contact_points([]),
        "org_name": names["org"],
        "birthday": None,
        "notes": None,
        "postal_address": None,
        **{f"postal_address_{part}": None for part in ADDRESS_PARTS},
        "picture_128_url": None,
        "last_incoming_mail_time": None,
        "last_outgoing_mail_time": None,
    }


def _organization(state: State, names: Names, hook: Hook) -> Body:
    flat = _party(state, names, hook)
    address = flat["address"] or {}
    flat["address"] = address.get("value")
    if flat["industry"] is not None:
        flat["industry"] = str(flat["industry"])  # an option's id, as version 1 writes it
    flat |= {f"address_{part}": address.get(part) for part in ADDRESS_PARTS}
    return flat | {"people_count": 0, "edit_name": True, "category_id": None}


def _deal(state: State, names: Names, hook: Hook) -> Body:
    flat = _respelled(state)
    labels, owner = flat.pop("label_ids"), flat.pop("owner_id")
    value = state["value"] or 0
    return flat | {
        **dict.fromkeys((*SHARED_COUNTERS, "products_count", "participants_count"), 0),
        **dict.fromkeys((*NEIGHBOURS, *DEAL_NULLS)),
        "user_id": owner,
        "owner_name": names["owner"],
        "person_name": names["person"],
        "org_name": names["org"],
        "person_hidden": False,
        "org_hidden": False,
        "label": ",".join(str(one) for one in labels) or None,
        "active": state["status"] == "open",
        "deleted": False,
        "stage_order_nr": state["stage_id"] - 1,
        "weighted_value": value,
        "weighted_value_currency": state["currency"],
        "formatted_value": f"{state['currency']} {value:,}",
        "formatted_weighted_value": f"{state['currency']} {value:,}",
        "cc_email": f"company{hook.company_id}+deal{state['id']}@pipedrivemail.example",
    }


def _activity(state: State, names: Names, hook: Hook) -> Body:
    flat = _respelled(state)
    owner = flat.pop("owner_id")
    return flat | {
        "company_id": hook.company_id,
        "user_id": owner,
        "assigned_to_user_id": owner,
        "created_by_user_id": owner,
        "owner_name": names["owner"],
        "person_name": names["person"],
        "org_name": names["org"],
        "deal_title": None,
        "reference_type": "none",
        "reference_id": None,
        "due_time": (state["due_time"] or "")[:5],
        "duration": (state["duration"] or "")[:5],
        "marked_as_done_time": flat["marked_as_done_time"] or "",
    }


def _note(state: State, names: Names, _hook: Hook) -> Body:
    person = {"name": names["person"]} if names["person"] else None
    user = {"email": None, "name": names["owner"], "icon_url": None, "is_you": True}
    mini = {"organization": None, "person": person, "deal": None, "user": user}
    return _respelled(state) | mini | {"last_update_user_id": None}


def _user(state: State, _names: Names, _hook: Hook) -> Body:
    return dict(state)


FLAT: Mapping[str, Callable[[State, Names, Hook], Body]] = {
    "person": _person,
    "organization": _organization,
    "deal": _deal,
    "activity": _activity,
    "note": _note,
    "user": _user,
}


def says_v1(change: Change, hook: Hook, share: float) -> bool:
    """Which of the two versions a change goes out as, decided by the change alone."""
    drawn = int.from_bytes(digest(hook, change.number, "version")[:4], "big")
    return can_say(change) and drawn < share * 2**32
