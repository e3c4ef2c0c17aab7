"""Turns facts into writes per row, under this store's names. Pure.

Rule: only fields that a body carried are written; invalid ids are poison.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import grouping
from shared import ids
from shared.errors import Poison
from shared.events import (
    Action,
    ActivityChange,
    OrganizationChange,
    OrganizationVerdictChange,
    PersonChange,
    number,
    numbered,
    writes,
)
from shared.register import Register, Write, apply

Key = tuple[int, int]
"""Tenant, and a Pipedrive id in it."""

CONTACT_FIELDS = ("org_id", "merged_into")
ACTIVITY_FIELDS = (
    "person_id",
    "org_id",
    "done",
    "due_date",
    "marked_as_done_time",
    "occurred_at",
)
_RECORD_FIELDS = frozenset(grouping.FIELDS) - {"merged_into", "made_by"}
VERDICT_FIELDS = (
    "decision",
    "left_records",
    "right_records",
    "left_id",
    "right_id",
    "decided_by",
    "reason",
    "score",
    "matcher_version",
    "review_id",
    "withdrawn",
    "withdrawn_by",
)
_VERDICT_FIELDS = frozenset(VERDICT_FIELDS)
_ACTIVITY_BODY = frozenset(ACTIVITY_FIELDS) - {"occurred_at"}


class RecordKey(NamedTuple):
    """`number` is Pipedrive's id; null for a record that a user made."""

    company_id: int
    record_id: UUID
    number: int | None


def folded(row: Register, said: Iterable[Write]) -> Register:
    for write in said:
        row = apply(row, write)
    return row


def records(changes: Iterable[OrganizationChange]) -> Mapping[RecordKey, Sequence[Write]]:
    """Writes per Pipedrive record."""
    found: dict[RecordKey, list[Write]] = {}
    for change in changes:
        for entity_id, write in writes(change, _carried(change.data, _RECORD_FIELDS)):
            org_id = number(entity_id)
            record_id = ids.organization(change.company_id, org_id)
            row = RecordKey(change.company_id, record_id, org_id)
            found.setdefault(row, []).append(numbered(write))
    return found


def made_records(changes: Iterable[OrganizationChange]) -> Mapping[RecordKey, Sequence[Write]]:
    """Writes per user-made record."""
    found: dict[RecordKey, list[Write]] = {}
    for change in changes:
        row = RecordKey(change.company_id, _uuid(change.entity_id), None)
        carried = _carried(change.data, _RECORD_FIELDS)
        if change.data is not None and "owner_id" in change.data.model_fields_set:
            carried["made_by"] = change.data.owner_id
        write = Write(change.stamp, change.action is Action.DELETE, carried)
        found.setdefault(row, []).append(write)
    return found


def verdicts(
    changes: Iterable[OrganizationVerdictChange],
) -> Mapping[tuple[int, UUID], Sequence[Write]]:
    """Writes per verdict of people."""
    found: dict[tuple[int, UUID], list[Write]] = {}
    for change in changes:
        carried = _carried(change.data, _VERDICT_FIELDS)
        for side in ("left_records", "right_records"):
            if carried.get(side) is not None:
                carried[side] = sorted(set(carried[side]))
        write = Write(change.stamp, change.action is Action.DELETE, carried)
        found.setdefault((change.company_id, _uuid(change.entity_id)), []).append(write)
    return found


def contacts(changes: Iterable[PersonChange]) -> Mapping[Key, Sequence[Write]]:
    found: dict[Key, list[Write]] = {}
    for change in changes:
        data = change.data
        says_org = data is not None and "org_id" in data.model_fields_set
        carried = {"org_id": data.org_id} if says_org and data is not None else {}
        for entity_id, write in writes(change, carried):
            row = (change.company_id, number(entity_id))
            found.setdefault(row, []).append(numbered(write))
    return found


def activities(changes: Iterable[ActivityChange]) -> Mapping[Key, Sequence[Write]]:
    found: dict[Key, list[Write]] = {}
    for change in changes:
        deleted = change.action is Action.DELETE
        carried = _carried(change.data, _ACTIVITY_BODY)
        if not deleted:
            carried["occurred_at"] = change.occurred_at
        row = (change.company_id, change.number)
        found.setdefault(row, []).append(Write(change.stamp, deleted, carried))
    return found


def _carried(body: Any, kept: frozenset[str]) -> dict[str, Any]:
    if body is None:
        return {}
    return {name: getattr(body, name) for name in body.model_fields_set & kept}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Poison(f"not an id that we gave: {text[:40]!r}") from error
