"""A Pipedrive webhook, version 1 or 2, as the change it tells. Pure.

Rule 1: version 2 names its entity in `meta.entity`, version 1 in `meta.object`; a body with
        neither is not a webhook. Apart from that only a missing id makes a body unreadable.
Rule 2: entities and actions are open sets: an entity we have no model for is passed on as
        received; an unknown action changes the entity if there is data, and else deletes it.
Rule 3: a retry of a delivery yields the same event id as the first try, and the same version if
        the body names a time at all.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import orjson

from services.ingest import body, fields, values
from shared import events
from shared.errors import Poison
from shared.events import Action, Change, Source

Json = dict[str, Any]

# As plain text: asking an enum's member for its value takes as long as reading a field.
CREATE: Final = Action.CREATE.value
CHANGE: Final = Action.CHANGE.value
DELETE: Final = Action.DELETE.value
VERSION_1: Final = Source.WEBHOOK_V1.value
VERSION_2: Final = Source.WEBHOOK_V2.value
ACTIONS: Final[Mapping[str, str]] = {
    "create": CREATE,
    "change": CHANGE,
    "delete": DELETE,
    "added": CREATE,
    "updated": CHANGE,
    "merged": CHANGE,
    "deleted": DELETE,
}
CHANGES: Final[Mapping[str, type[Change[Any]]]] = {
    "person": events.PersonChange,
    "organization": events.OrganizationChange,
    "deal": events.DealChange,
    "activity": events.ActivityChange,
    "lead": events.LeadChange,
    "user": events.UserChange,
    "note": events.NoteChange,
}
FINE_TIMESTAMPS: Final = (
    ("timestamp_micro", values.MICROSECOND),
    ("timestamp_milli", values.MILLISECOND),
)
NUMBERED: Final = frozenset(CHANGES) - {"lead"}
LONGEST_ID: Final = 255
"""Characters of a non-numeric id; Pipedrive's have 36, and an index holds only so much."""


class Told(NamedTuple):
    """What both versions say, still with Pipedrive's values. `at` is null if no time is named."""

    source: str
    entity: str
    entity_id: Any
    action: Any
    data: Json | None
    at: datetime | None
    event_id: str | None
    merged_into: Any = None
    merged_from: Any = None
    is_precise: bool = False
    """Whether `at` alone tells two changes of one entity apart."""


def change(content: bytes, *, company_id: int, now: datetime) -> Change[Any]:
    """The change in a body that the credentials of `company_id` sent.

    The change's company is the one that the body names: the caller compares.

    Raises:
        Poison: the body describes no change.
    """
    told = envelope(content, company_id=company_id, now=now)
    return CHANGES.get(told["entity"], events.OtherChange).model_validate(told)


def envelope(content: bytes, *, company_id: int, now: datetime) -> Json:
    """The fields of `change`, each already of its model's type.

    For the webhook door: building a model to take it apart again would cost it as much time as
    all the rest.

    Raises:
        Poison: the body describes no change.
    """
    sent = body.read(content)
    meta = sent.get("meta")
    if type(meta) is not dict:
        raise Poison("the body has no 'meta' object")
    if type(meta.get("entity")) is str:
        told = _version_2(sent, meta)
    elif type(meta.get("object")) is str:
        told = _version_1(sent, meta)
    else:
        raise Poison("'meta' names neither an entity nor an object")
    return _envelope(told, _company(meta, company_id), now)


def dump(told: Json) -> bytes:
    """An envelope's bytes: what `shared.events.dump` says of its change."""
    return orjson.dumps(told, option=orjson.OPT_UTC_Z)


def _version_2(sent: Json, meta: Json) -> Told:
    data = _object(sent.get("data"))
    entity = _entity(meta["entity"])
    # Events about users carry the user's id there, the same for every change.
    event_id = None if entity == "user" else values.text(meta.get("id"))
    return Told(
        VERSION_2,
        entity,
        _first(meta.get("entity_id"), data, sent.get("previous")),
        meta.get("action"),
        data,
        values.moment(meta.get("timestamp")),
        event_id,
        meta.get("merged_to_id"),
        meta.get("merged_from_id"),
    )


def _version_1(sent: Json, meta: Json) -> Told:
    current = _object(sent.get("current"))
    micros = values.reference(meta.get("timestamp_micro"))
    merged = meta.get("action") == "merged" and current is not None
    return Told(
        VERSION_1,
        _entity(meta["object"]),
        _first(meta.get("id"), current, sent.get("previous")),
        meta.get("action"),
        current,
        _moment_of_version_1(meta),
        None,
        merged_from=current.get("merge_what_id") if merged and current else None,
        is_precise=bool(micros),
    )


def _moment_of_version_1(meta: Json) -> datetime | None:
    for name, unit in FINE_TIMESTAMPS:
        count = values.reference(meta.get(name))
        if count:
            return values.since_epoch(unit, count)
    return values.moment(meta.get("timestamp"))


def _envelope(told: Told, company_id: int, now: datetime) -> Json:
    entity = told.entity
    entity_id = usable_id(entity, told.entity_id)
    if entity_id is None:
        raise Poison(f"the {entity[:40]} has no usable id")
    at = now if told.at is None or told.at < values.EPOCH else told.at
    action = _action(told)
    found: Json = {
        "event_id": told.event_id or _derived_id(told, company_id, entity_id),
        "company_id": company_id,
        "entity": entity,
        "entity_id": entity_id,
        "action": action,
        "version": values.micros(at),
        "occurred_at": at,
        "received_at": now,
        "source": told.source,
    }
    if told.merged_into is not None:
        found["merged_into"] = usable_id(entity, told.merged_into)
    if told.merged_from is not None:
        found["merged_from"] = usable_id(entity, told.merged_from)
    found["data"] = None if action == DELETE else carried(entity, told.data or {})
    return found


def _action(told: Told) -> str:
    if told.data is None or fields.is_deleted(told.entity, told.data):
        return DELETE
    named = told.action
    return ACTIONS.get(named, CHANGE) if type(named) is str else CHANGE


def carried(entity: str, raw: Json) -> Any:
    """What an entity's body says: under our names, or as it came if we have no model for it."""
    if entity in CHANGES:
        return fields.read(entity, raw)
    return body.storable(raw)


def _company(meta: Json, company_id: int) -> int:
    """The company named in the body; if none is, the credentials' company."""
    named = meta.get("company_id")
    if named is None:
        return company_id
    found = values.reference(named)
    if found is None:
        raise Poison("'meta.company_id' is not a number")
    return found


def _entity(named: str) -> str:
    if named in CHANGES:
        return named
    entity = values.text(named)
    if entity is None:
        raise Poison("the body names no entity type")
    return entity.lower() if entity.lower() in CHANGES else entity


def _object(raw: Any) -> Json | None:
    """The entity's fields; version 1 wraps users in a list of one."""
    found = raw[0] if type(raw) is list and raw else raw
    if found is None or found == []:
        return None
    if type(found) is not dict:
        raise Poison("the entity in the body is not an object")
    return found


def _first(named: Any, *objects: Any) -> Any:
    """The id in the envelope, else that of the entity, else of its previous state."""
    if named is not None:
        return named
    ids = (found.get("id") for found in objects if type(found) is dict)
    return next((each for each in ids if each is not None), None)


def usable_id(entity: str, raw: Any) -> str | None:
    """An entity's id as our events write it; null if no consumer could use it."""
    if entity in NUMBERED:
        found = values.reference(raw)
        return None if found is None else str(found)
    named = values.text(raw)
    return None if named is None or len(named) > LONGEST_ID else named


def _derived_id(told: Told, company_id: int, entity_id: str) -> str:
    parts = [company_id, told.entity, entity_id, told.action, told.at]
    if not told.is_precise:
        parts.append(told.data)
    try:
        name = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError as error:
        raise Poison("the entity in the body is nested too deep") from error
    return str(uuid5(NAMESPACE_URL, name.decode()))
