"""Changes as webhook bodies, version 2.0; leads and users here, all else by choice also as v1.

Rule 1: `data` holds ids, never names or counters; a delete has no data, only `previous`.
Rule 2: `previous` of a change is what differed, and not always all of that.
Rule 3: the same change gives the same body, event id included, whoever renders it.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devstack.pipedrive.changes import Change, State
from devstack.pipedrive.shapes import millis

Body = dict[str, Any]

# What v2 bodies leave out, by entity; all else of the state is sent.
HIDDEN: Mapping[str, frozenset[str]] = {
    "person": frozenset({"job_title", "picture_id"}),
    "organization": frozenset({"label_ids"}),
    "activity": frozenset({"marked_as_done_time", "note"}),
}
# Sent only where the company has a value.
SENT_IF_SET = frozenset({"website", "linkedin", "industry", "annual_revenue", "employee_count"})


@dataclass(frozen=True, slots=True)
class Hook:
    """The registered webhook on whose behalf bodies are sent."""

    company_id: int
    user_ids: tuple[int, ...]
    webhook_id: int = 4710827
    seed: int = 0

    @property
    def host(self) -> str:
        return f"company{self.company_id}.pipedrive.com"


def v2(change: Change, hook: Hook) -> Body:
    data = None if change.state is None else shown(change, change.state)
    return {
        "data": data,
        "previous": _previous(change, data, hook),
        "meta": _meta(change, hook),
    }


def retried(body: Mapping[str, Any], attempt: int) -> Body:
    """The body as its n-th attempt sends it; the first is 1."""
    if "v" in body:
        return {**body, "retry": attempt - 1}
    return {**body, "meta": {**body["meta"], "attempt": attempt}}


def shown(change: Change, state: State) -> Body:
    """The object as v2 spells it."""
    hidden = HIDDEN.get(change.entity, frozenset())
    data = {
        key: value
        for key, value in state.items()
        if key not in hidden and not (key in SENT_IF_SET and value is None)
    }
    match change.entity:
        case "user":
            data["id"] = str(state["id"])
        case "activity":
            zone = {"timezone_id": None}
            for key in ("due_time", "duration"):
                was_set = state[key] is not None or change.action != "create"
                data[key] = {**zone, "value": (state[key] or "")[:5]} if was_set else None
        case "deal" if change.action == "create":
            # Pipedrive sends a fresh deal before it has given it an update time.
            data["update_time"] = None
        case _:
            pass
    return data


def digest(hook: Hook, number: int, purpose: str) -> bytes:
    text = f"{hook.seed}:{hook.company_id}:{number}:{purpose}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _previous(change: Change, data: Body | None, hook: Hook) -> Body | None:
    if change.previous is None:
        return None
    before = shown(change, change.previous)
    if data is None:
        return before
    # A field that was unset may be missing from either side.
    differing = [key for key in {**before, **data} if before.get(key) != data.get(key)]
    previous = {key: before.get(key) for key in differing}
    if "custom_fields" in previous:
        fields = data["custom_fields"]
        was = before["custom_fields"]
        previous["custom_fields"] = {k: was.get(k) for k in fields if was.get(k) != fields[k]}
    if digest(hook, change.number, "diff")[0] % 2:
        # A stage move has been seen with the stage alone, others with their times.
        previous.pop("update_time", None)
        previous.pop("stage_change_time", None)
    return previous


def _meta(change: Change, hook: Hook) -> Body:
    version = 1 if change.entity == "lead" else 4
    event_id = str(uuid.UUID(bytes=digest(hook, change.number, "event"), version=version))
    meta = {
        "action": change.action,
        "company_id": str(hook.company_id),
        "correlation_id": str(
            uuid.UUID(bytes=digest(hook, change.number, "correlation"), version=4)
        ),
        "entity_id": str(change.entity_id),
        "entity": change.entity,
        # Events about users carry the user's id for theirs, so it repeats.
        "id": str(change.entity_id) if change.entity == "user" else event_id,
        "is_bulk_edit": False,
        "timestamp": millis(change.at),
        "type": "general",
        "user_id": str(change.user_id),
        "version": "2.0",
        "webhook_id": str(hook.webhook_id),
        "webhook_owner_id": str(hook.user_ids[0]),
        "change_source": "app" if digest(hook, change.number, "source")[0] % 4 else "api",
        "attempt": 1,
        "host": hook.host,
    }
    if change.entity != "user":
        meta["permitted_user_ids"] = [str(one) for one in hook.user_ids]
    if change.merged_to is not None:
        meta["merged_to_id"] = str(change.merged_to)
    if change.merged_from is not None:
        meta["merged_from_id"] = str(change.merged_from)
    return meta
