"""Maps Pipedrive's field names to ours: one table per entity, with all spellings. Pure.

Rule 1: a fact has one name of ours and the names Pipedrive uses in webhooks v1 and v2 and in
        REST v1 and v2. If several are present, the first with a value counts.
Rule 2: a field whose names are all absent stays absent; present without a readable value is null.
Rule 3: custom fields come as their plain values: of a typed object its value (money: the amount),
        else the option's or the linked object's id, else the list of option ids, else the start
        of a range. Version 1 writes options as text ("16") and version 2 as numbers (16).
Rule 4: a built-in field of Pipedrive's whose value is one of its options (`OPTIONS`) becomes the
        option's name. Bodies hold only its id: where the name has not been filled in (see
        `sync.options`), the body says nothing about the field.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.ingest import values
from services.ingest.values import Converter

Raw = Mapping[str, Any]
Fields = dict[str, Any]
Table = tuple[tuple[str, tuple[str, ...], Converter], ...]

# Siblings of a custom field, such as HASH_currency and HASH_until, are longer.
HASH_CHARS: Final = 40
HASH: Final = re.compile(r"[0-9a-f]{40}")

ADDRESS_PARTS: Final = ("country", "locality", "postal_code", "formatted_address")

OWNER: Final = ("owner_id", ("owner_id", "user_id"), values.reference)
ADDED: Final = ("add_time", ("add_time", "created"), values.moment)
UPDATED: Final = ("update_time", ("update_time", "modified"), values.moment)


def _same(converter: Converter, *names: str) -> Table:
    return tuple((name, (name,), converter) for name in names)


TABLES: Final[Mapping[str, Table]] = {
    "person": (
        *_same(values.shown, "name", "first_name", "last_name", "job_title"),
        ("emails", ("emails", "email"), values.contact_points),
        ("phones", ("phones", "phone"), values.contact_points),
        ("org_id", ("org_id", "organization_id"), values.reference),
        ("label_ids", ("label_ids", "label"), values.references),
        OWNER,
        ADDED,
        UPDATED,
    ),
    "organization": (
        *_same(values.shown, "name", "industry", "website"),
        ("size", ("employee_count",), values.shown),
        ("address", ("address", "address_formatted_address"), values.shown),
        ("country", ("address_country", "country_code"), values.shown),
        ("city", ("address_locality",), values.shown),
        ("postcode", ("address_postal_code",), values.shown),
        ("label_ids", ("label_ids", "label"), values.references),
        OWNER,
        ADDED,
        UPDATED,
    ),
    "deal": (
        *_same(values.shown, "title", "currency", "status"),
        *_same(values.number, "value"),
        *_same(values.reference, "person_id", "org_id", "stage_id", "pipeline_id"),
        *_same(values.flag, "is_archived"),
        *_same(values.moment, "won_time", "lost_time", "close_time"),
        OWNER,
        ADDED,
        UPDATED,
    ),
    "activity": (
        *_same(values.shown, "subject", "type", "lead_id"),
        *_same(values.flag, "done"),
        *_same(values.day, "due_date"),
        *_same(values.moment, "marked_as_done_time"),
        *_same(values.reference, "person_id", "org_id", "deal_id"),
        OWNER,
        ADDED,
        UPDATED,
    ),
    "lead": (
        *_same(values.shown, "title"),
        *_same(values.reference, "person_id"),
        ("org_id", ("organization_id", "org_id"), values.reference),
        ("label_ids", ("label_ids",), values.texts),
        ("value", ("amount", "value"), values.number),
        *_same(values.shown, "currency"),
        *_same(values.flag, "is_archived"),
        OWNER,
        ADDED,
        UPDATED,
    ),
    "user": (
        *_same(values.shown, "name", "email", "locale", "timezone_name", "default_currency"),
        ("active", ("active_flag", "active"), values.flag),
        ADDED,
        UPDATED,
    ),
    "note": (
        *_same(values.text, "content", "lead_id"),
        *_same(values.reference, "person_id", "org_id", "deal_id"),
        OWNER,
        ADDED,
        UPDATED,
    ),
}

FLAT: Final = {
    entity: tuple((ours, name, convert) for ours, names, convert in table for name in names)
    for entity, table in TABLES.items()
}
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {"organization": ("industry",)}
"""Pipedrive's names of those fields, by entity."""
WITH_CUSTOM_FIELDS: Final = frozenset({"person", "organization", "deal", "lead"})
SOFT_DELETED_BY_ACTIVE_FLAG: Final = frozenset({"person", "organization", "activity", "note"})


def read(entity: str, raw: Raw) -> Fields:
    """What a body says about an entity we have a model for, under our names."""
    prepare = PREPARED.get(entity)
    if prepare is not None:
        raw = prepare(raw)
    found: Fields = {}
    for ours, name, convert in FLAT[entity]:
        if name in raw and found.get(ours) is None:
            found[ours] = convert(raw[name])
    if entity in WITH_CUSTOM_FIELDS:
        custom = custom_fields(raw)
        if custom is not None:
            found["custom_fields"] = custom
    return found


def is_deleted(entity: str, raw: Raw) -> bool:
    """A body may show a deleted object. A deactivated user is not a deleted one."""
    if entity == "user":
        return False
    if raw.get("is_deleted") is True:
        return True
    if entity == "deal":
        return raw.get("deleted") is True or raw.get("status") == "deleted"
    return entity in SOFT_DELETED_BY_ACTIVE_FLAG and raw.get("active_flag") is False


def custom_fields(raw: Raw) -> Fields | None:
    """Plain values by field hash; null when the body has no custom fields section."""
    nested = raw.get("custom_fields")
    if type(nested) is dict:
        return nested and {
            name.replace("\0", ""): values.plain(value) for name, value in nested.items()
        }
    flat = {
        name: values.plain(value)
        for name, value in raw.items()
        if len(name) == HASH_CHARS and HASH.fullmatch(name)
    }
    return flat or None


def is_option_id(raw: Any) -> bool:
    """Whether it is an option's id rather than its name."""
    found = values.inner(raw) if type(raw) is dict else raw
    return type(found) in (int, float) or (type(found) is str and found.strip().isdecimal())


def _organization(raw: Raw) -> Raw:
    """Spreads an address object over the flat names of version 1; a null address has null parts.
    Bodies have a null country code beside an address with a country: alone it says nothing.
    """
    unnamed = [name for name in OPTIONS["organization"] if is_option_id(raw.get(name))]
    if unnamed:
        raw = {name: value for name, value in raw.items() if name not in unnamed}
    if raw.get("country_code", 0) is None:
        raw = {name: value for name, value in raw.items() if name != "country_code"}
    if "address" not in raw or "address_country" in raw:
        return raw
    address = raw["address"]
    if address is None:
        return {**dict.fromkeys(f"address_{part}" for part in ADDRESS_PARTS), **raw}
    if type(address) is not dict:
        return raw
    return {**raw, **{f"address_{p}": address[p] for p in ADDRESS_PARTS if p in address}}


def _activity(raw: Raw) -> Raw:
    """An activity that is not done has no time at which it was done. Webhooks of version 2 never
    carry that time: if the activity was reopened and done again, the earlier time would count.
    """
    is_open = values.flag(raw.get("done")) is False
    return {**raw, "marked_as_done_time": None} if is_open else raw


def _lead(raw: Raw) -> Raw:
    """Spreads a lead's amount of money; a null amount has a null currency."""
    money = raw.get("value", 0)
    if money is None:
        return {**raw, "currency": None}
    if type(money) is not dict:
        return raw
    parts = {name: money[name] for name in ("amount", "currency") if name in money}
    return {**raw, "value": None, **parts}


def _user(raw: Raw) -> Raw:
    return {**raw, "active_flag": False} if raw.get("is_deleted") is True else raw


PREPARED: Final[Mapping[str, Callable[[Raw], Raw]]] = {
    "organization": _organization,
    "activity": _activity,
    "lead": _lead,
    "user": _user,
}
