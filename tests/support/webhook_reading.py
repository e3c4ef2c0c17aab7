"""Webhook bodies, v1 and v2, as facts in one spelling: for the reference model only.

Rule 1: a body says nothing about a field that it lacks, nor about one of which it holds but the
        id of an option.
Rule 2: newest is by (microseconds of the meta timestamp, create < change < delete, event id).
Rule 3: each field of an object has the value of the newest body that carried it.
Rule 4: a merge told by its survivor tells the loser's death too, at the survivor's version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Body = Mapping[str, Any]
Version = tuple[int, int, str]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RANK = {"create": 0, "change": 1, "delete": 2}
V1_ACTION = {"added": "create", "updated": "change", "merged": "change", "deleted": "delete"}
LINKS = frozenset({"org_id", "person_id", "owner_id", "organization_id", "deal_id"})
OPTIONS = frozenset({"industry"})
HASH_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Fact:
    """`fields` is None where the body carried no object."""

    entity: str
    entity_id: str
    action: str
    version: Version
    fields: Mapping[str, Any] | None = None
    merged_into: str | None = None

    @property
    def at(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.version[0])


@dataclass(slots=True)
class Row:
    """One object as its bodies leave it. A later life forgets an earlier merge."""

    entity_id: str
    newest: Fact
    fields: dict[str, tuple[Version, Any]] = field(default_factory=dict)
    merged: tuple[Version, str] | None = None
    lived_at: Version | None = None

    def get(self, name: str) -> Any:
        return self.fields[name][1] if name in self.fields else None

    @property
    def is_living(self) -> bool:
        return self.newest.action != "delete"

    @property
    def merged_into(self) -> str | None:
        if self.is_living or self.merged is None:
            return None
        at, heir = self.merged
        return None if self.lived_at is not None and self.lived_at > at else heir

    def learn(self, fact: Fact) -> None:
        if fact.version > self.newest.version:
            self.newest = fact
        for name, value in (fact.fields or {}).items():
            if name not in self.fields or fact.version >= self.fields[name][0]:
                self.fields[name] = (fact.version, value)
        if fact.action != "delete" and (self.lived_at is None or fact.version > self.lived_at):
            self.lived_at = fact.version
        if fact.merged_into and (self.merged is None or fact.version > self.merged[0]):
            self.merged = (fact.version, fact.merged_into)


def facts(body: Body) -> Iterator[Fact]:
    yield from _v1(body) if "v" in body else _v2(body)


def company_of(body: Body) -> int:
    return int(body["meta"]["company_id"])


def _v2(body: Body) -> Iterator[Fact]:
    meta, data = body["meta"], body["data"]
    micros = _micros(meta["timestamp"])
    dead = data is None or is_flagged_dead(str(meta["entity"]), data)
    action = "delete" if dead else str(meta["action"])
    entity, key = str(meta["entity"]), str(meta["entity_id"])
    version = (micros, RANK[action], str(meta["id"]))
    fields = None if data is None else _fields(data)
    yield Fact(entity, key, action, version, fields, _text(meta.get("merged_to_id")))
    if loser := _text(meta.get("merged_from_id")):
        yield Fact(entity, loser, "delete", (micros, RANK["delete"], version[2]), None, key)


def _v1(body: Body) -> Iterator[Fact]:
    meta, current = body["meta"], body["current"]
    if isinstance(current, list):
        current = current[0]
    micros = meta.get("timestamp_micro") or meta.get("timestamp_milli", 0) * 1000
    micros = micros or meta["timestamp"] * 1_000_000
    action = V1_ACTION[meta["action"]]
    if current is None or is_flagged_dead(str(meta["object"]), current):
        action = "delete"
    entity, key = str(meta["object"]), str(meta["id"])
    version = (int(micros), RANK[action], f"{entity}:{key}:{meta['action']}:{micros}")
    fields = None if current is None else _fields(_flat_to_v2(current))
    yield Fact(entity, key, action, version, fields)
    loser = current.get("merge_what_id") if current else None
    if meta["action"] == "merged" and loser is not None:
        tomb = (int(micros), RANK["delete"], version[2])
        yield Fact(entity, str(loser), "delete", tomb, None, key)


def is_flagged_dead(entity: str, data: Body) -> bool:
    """A deactivated user is no deleted one."""
    if data.get("deleted") is True or data.get("is_deleted") is True:
        return True
    return data.get("active_flag") is False and entity != "user"


def _fields(data: Body) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: _id(value) if key in LINKS else value
        for key, value in data.items()
        if key not in OPTIONS or value is None or not str(value).isdecimal()
    }
    if data.get("done") is False:  # told without its time or with an old one
        found["marked_as_done_time"] = None
    custom: Body = found.pop("custom_fields", None) or {}
    for key, value in custom.items():
        found[f"custom:{key}"] = _typed(value)
    return found


def _typed(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if "value" in value:
        return value["value"]
    return value.get("id")


def _flat_to_v2(current: Body) -> dict[str, Any]:
    """Version 1's names and spellings to those of version 2."""
    found = dict(current)
    for old, new in (("email", "emails"), ("phone", "phones")):
        if isinstance(found.get(old), list | None) and old in found:
            found[new] = found.pop(old)
    if "user_id" in found and "owner_id" not in found:
        found["owner_id"] = found["user_id"]
    if "address" in found:
        parts = {
            key: found.get(f"address_{key}")
            for key in ("formatted_address", "country", "locality")
        }
        found["address"] = {"value": found["address"], **parts}
    custom = {key: found.pop(key) for key in list(found) if is_hash(key)}
    return found | {"custom_fields": custom}


def is_hash(key: str) -> bool:
    return len(key) == HASH_LENGTH and all(c in "0123456789abcdef" for c in key)


def _id(value: Any) -> str | None:
    """Plain number, text, or an object that holds it."""
    if isinstance(value, Mapping):
        return _id(value.get("value", value.get("id")))
    return _text(value)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _micros(stamp: Any) -> int:
    """Milliseconds as text; events about users once had whole seconds as a number."""
    if isinstance(stamp, int):
        return stamp * 1_000_000
    return (moment(stamp) - EPOCH) // timedelta(microseconds=1)


def moment(text: str) -> datetime:
    """Any of Pipedrive's times and dates; those without a zone are UTC."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
