"""Streams of webhooks for tests: a company's eventful life, and small valid ones by hand.

Rule 1: everything is a function of its arguments.
Rule 2: `history` is in true order; no two changes of one object share version and action.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from devstack.pipedrive import shapes
from devstack.pipedrive.bodies import Hook, v2
from devstack.pipedrive.bodies_v1 import says_v1, v1
from devstack.pipedrive.changes import Change
from devstack.pipedrive.company import EVENTFUL, Company
from devstack.pipedrive.world import Sizes

Body = dict[str, Any]

COMPANY_ID = 8087566
USER_ID = 12415231
# When histories end and hand-made webhooks happen.
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LIVE_RATE = 2.0
# Fields that real bodies have been seen without.
OMISSIBLE = {
    "person": ("phones", "phone", "label_ids", "org_id", "last_name", "job_title"),
    "organization": ("website", "address", "industry"),
    "deal": ("label_ids", "probability", "value"),
    "activity": ("location", "public_description", "due_date", "marked_as_done_time"),
    "lead": ("value", "was_seen"),
}


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - repeatable, not secret


def tenant(company_id: int = COMPANY_ID) -> Body:
    """The settings under which the histories' labels and custom fields have their meaning."""
    return shapes.tenant(company_id)


def history(
    seed: int,
    events: int = 2000,
    company_id: int = COMPANY_ID,
    *,
    v1_share: float = 0.3,
    now: datetime = NOW,
) -> list[tuple[Change, Body]]:
    """Everything that can happen, happens; half of it before `now`, half from then on."""
    people = max(6, events // 12)
    sizes = Sizes(users=3, contacts=people // 3, organizations=max(4, people // 3), bustle=3.0)
    company = Company(seed, sizes, now, EVENTFUL)
    hook = Hook(company_id, company.user_ids, seed=seed)
    rng = seeded(seed)
    pairs = []
    for change in _life(company, events, now):
        body = v1(change, hook) if says_v1(change, hook, v1_share) else v2(change, hook)
        pairs.append((change, _partial(change, body, rng)))
    return _with_ties(pairs, rng)


def end_of(pairs: Sequence[tuple[Change, Body]]) -> datetime:
    """A moment after the last event: a fitting `now`."""
    return max(NOW, pairs[-1][0].at) + timedelta(minutes=1)


def shuffled_with_duplicates(bodies: Sequence[Body], seed: int, share: float = 0.2) -> list[Body]:
    rng = seeded(seed)
    again = rng.sample(list(bodies), int(len(bodies) * share))
    mixed = [*bodies, *again]
    rng.shuffle(mixed)
    return mixed


def a_person(**changes: Any) -> Body:
    """Version 2 data of a person; an unknown field is a test's misspelling."""
    return _with(
        {
            "id": 8,
            "name": "Sample Person",
            "first_name": "Sample",
            "last_name": "Person",
            "emails": [{"label": "work", "value": "sample@mail.example", "primary": True}],
            "phones": [{"label": "work", "value": "+372 555 0100", "primary": True}],
            "label": None,
            "label_ids": [],
            "org_id": 1,
            "owner_id": USER_ID,
            "job_title": None,
            "add_time": "2026-01-02T03:04:05Z",
            "update_time": "2026-01-02T03:04:05Z",
            "visible_to": "3",
            "custom_fields": {},
        },
        changes,
    )


def an_organization(**changes: Any) -> Body:
    return _with(
        {
            "id": 1,
            "name": "Sample Org",
            "owner_id": USER_ID,
            "address": None,
            "country_code": None,
            "label": None,
            "picture_id": None,
            "website": None,
            "industry": None,
            "employee_count": None,
            "add_time": "2026-01-01T00:00:00Z",
            "update_time": "2026-01-01T00:00:00Z",
            "visible_to": "3",
            "custom_fields": {},
        },
        changes,
    )


def an_activity(**changes: Any) -> Body:
    """A call of yesterday, done."""
    made = shapes.activity(42, USER_ID, NOW - timedelta(days=1), seeded(0))
    made |= {"type": "call", "subject": "Call", "done": True, "due_date": "2026-05-31"}
    made |= {"person_id": 8, "org_id": None, "due_time": None, "duration": None}
    del made["marked_as_done_time"], made["note"]
    times = {"add_time": "2026-05-31T09:00:00Z", "update_time": "2026-05-31T09:00:00Z"}
    return _with(made | times, changes, also=("marked_as_done_time",))


def a_deal(**changes: Any) -> Body:
    made = shapes.deal(7, USER_ID, "Sample deal", seeded(0))
    made |= {"value": 5000, "currency": "EUR", "person_id": 8, "org_id": 1}
    return _with(made | {"add_time": "2026-05-01T00:00:00Z", "update_time": None}, changes)


def a_lead(**changes: Any) -> Body:
    made = shapes.lead(USER_ID, "Sample lead", seeded(0)) | {"person_id": 8, "label_ids": []}
    times = {"add_time": "2026-05-01T00:00:00.000Z", "update_time": "2026-05-01T00:00:00.000Z"}
    return _with(made | times, changes)


SAMPLES = {
    "person": a_person,
    "organization": an_organization,
    "activity": an_activity,
    "deal": a_deal,
    "lead": a_lead,
}


def a_webhook(
    entity: str = "person",
    action: str = "create",
    data: Body | None = None,
    *,
    at: datetime = NOW,
    company_id: int = COMPANY_ID,
    **meta: Any,
) -> Body:
    """A v2 body, valid by default. For a delete, `data` is the last known state."""
    shown = SAMPLES[entity]() if data is None else data
    gone = action == "delete"
    previous = shown if gone else None if action == "create" else {}
    return {
        "data": None if gone else shown,
        "previous": previous,
        "meta": {
            "action": action,
            "entity": entity,
            "entity_id": str(shown["id"]),
            "company_id": str(company_id),
            "user_id": str(USER_ID),
            "webhook_id": "4710827",
            "webhook_owner_id": str(USER_ID),
            "id": _event_id(entity, action, shown["id"], at),
            "correlation_id": _event_id("correlation", action, shown["id"], at),
            "timestamp": shapes.millis(at),
            "type": "general",
            "version": "2.0",
            "change_source": "app",
            "is_bulk_edit": False,
            "attempt": 1,
            "host": f"company{company_id}.pipedrive.com",
            "permitted_user_ids": [str(USER_ID)],
            **meta,
        },
    }


def a_v1_webhook(
    entity: str = "person",
    action: str = "added",
    current: Body | None = None,
    *,
    at: datetime = NOW,
    company_id: int = COMPANY_ID,
    entity_id: int = 8,
) -> Body:
    """A v1 body about an object that is given flat, as version 1 spells it, or gone."""
    micros = int(at.timestamp() * 1_000_000)
    return {
        "v": 1,
        "matches_filters": {"current": []},
        "meta": {
            "v": 1,
            "action": action,
            "object": entity,
            "id": entity_id if current is None else current["id"],
            "company_id": company_id,
            "user_id": USER_ID,
            "host": f"company{company_id}.pipedrive.com",
            "timestamp": micros // 1_000_000,
            "timestamp_micro": micros,
            "permitted_user_ids": [USER_ID],
            "trans_pending": False,
            "is_bulk_update": False,
            "pipedrive_service_name": False,
            "change_source": "app",
            "webhook_id": "4710827",
            "matches_filters": {"current": []},
        },
        "current": current,
        "previous": None,
        "retry": 0,
        "event": f"{action}.{entity}",
    }


def _life(company: Company, events: int, now: datetime) -> list[Change]:
    found: list[Change] = []
    for change in company.history():
        found.append(change)
        if len(found) == events:
            return found
    first = company.world.number + 1
    for change in company.live(
        lambda number: now + timedelta(seconds=(number - first) / LIVE_RATE)
    ):
        found.append(change)
        if len(found) == events:
            break
    return found


def _partial(change: Change, body: Body, rng: Random) -> Body:
    """At times a body lacks a field, which then says nothing about it."""
    side = "data" if "data" in body else "current"
    shown = body[side]
    omissible = [key for key in OMISSIBLE.get(change.entity, ()) if shown and key in shown]
    if not omissible or rng.random() > 0.1:
        return body
    missing = rng.choice(omissible)
    if missing == "website" and _is_renamed(change):
        return body  # the old name's domain would speak for the new name
    # Version 1 has an address flat as well: a body that lacks it lacks its parts.
    gone = {key for key in shown if key == missing or key.startswith(f"{missing}_")}
    kept = shown.keys() - gone if missing == "address" else shown.keys() - {missing}
    return {**body, side: {key: value for key, value in shown.items() if key in kept}}


def _is_renamed(change: Change) -> bool:
    states = [state for state in (change.previous, change.state) if state]
    return len({state["name"] for state in states if "name" in state}) > 1


def _with_ties(pairs: list[tuple[Change, Body]], rng: Random) -> list[tuple[Change, Body]]:
    """Some deletes and first changes share the instant of what came before them."""
    last: dict[tuple[str, Any], Body] = {}
    for change, body in pairs:
        key = (change.entity, change.entity_id)
        before = last.get(key)
        if before and "data" in body and "data" in before and _may_tie(before, body, rng):
            body["meta"]["timestamp"] = before["meta"]["timestamp"]
        last[key] = body
    return pairs


def _may_tie(before: Body, body: Body, rng: Random) -> bool:
    order = ["create", "change", "delete"]
    was, now = (order.index(one["meta"]["action"]) for one in (before, body))
    merged = "merged_from_id" in body["meta"] or "merged_to_id" in body["meta"]
    return was < now and not merged and rng.random() < 0.2


def _with(made: Body, changes: Body, also: tuple[str, ...] = ()) -> Body:
    unknown = set(changes) - set(made) - set(also)
    if unknown:
        raise KeyError(f"no such field: {', '.join(sorted(unknown))}")
    return made | changes


def _event_id(*parts: Any) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ":".join(str(one) for one in parts)))
