"""Keeps contacts, their activities and their merges, with the organization each belongs to.

Rule 1: a living contact belongs to the organization of the Pipedrive record that it names.
Rule 2: an activity counts for the contact at the end of its person's chain of merges.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.orgs import (
    activity_store,
    contact_store,
    folding,
    merge_store,
    merging,
    moments,
    record_store,
)
from services.orgs.activity_store import Activity
from services.orgs.contact_store import Contact
from services.orgs.effects import Effects, Move
from services.orgs.folding import ACTIVITY_FIELDS, CONTACT_FIELDS, Key
from shared import db, register
from shared.register import Register, Write

NEW_CONTACT = register.empty(CONTACT_FIELDS)
NEW_ACTIVITY = register.empty(ACTIVITY_FIELDS)


async def link(
    conn: db.Connection, writes: Mapping[Key, Sequence[Write]], effects: Effects
) -> None:
    """Apply facts about persons."""
    stored = await contact_store.load(conn, writes.keys())
    changed: dict[Key, Register] = {}
    for key, said in writes.items():
        before = stored.get(key)
        after = folding.folded(before.register if before else NEW_CONTACT, said)
        if before is None or after != before.register:
            changed[key] = after
    homes = await record_store.homes(conn, _named_organizations(changed))
    linked = [
        _linked(key, after, stored.get(key), homes, effects) for key, after in changed.items()
    ]
    await contact_store.save(conn, linked)
    effects.stale_contacts |= changed.keys() - stored.keys()
    edges = _changed_edges(changed, stored)
    effects.stale_contacts |= edges.keys()
    effects.stale_contacts |= await merge_store.settle(conn, "person", edges)


async def record_activities(
    conn: db.Connection, writes: Mapping[Key, Sequence[Write]], effects: Effects
) -> None:
    """Apply facts about activities."""
    stored = await activity_store.load(conn, writes.keys())
    changed: list[Activity] = []
    for key, said in writes.items():
        before = stored.get(key)
        after = folding.folded(before.register if before else NEW_ACTIVITY, said)
        if before is None or after != before.register:
            activity = Activity(*key, after, moments.moment(after))
            changed.append(activity)
            _note_stale(activity, before, effects)
    await activity_store.save(conn, changed)


async def refresh_moments(conn: db.Connection, effects: Effects) -> None:
    """Update contacts' newest moments, and note the organizations, wherever this batch may have
    changed them.
    """
    roots = await merge_store.roots(conn, "person", effects.stale_contacts)
    persons = effects.stale_contacts | {(key[0], root) for key, root in roots.items()}
    effects.touched |= await activity_store.refresh_contacts(conn, persons)
    homes = await record_store.homes(conn, effects.stale_records)
    effects.touched |= {(key[0], home) for key, home in homes.items()}


def _named_organizations(changed: Mapping[Key, Register]) -> set[Key]:
    return {
        (key[0], after.fields["org_id"])
        for key, after in changed.items()
        if not after.deleted and after.fields["org_id"] is not None
    }


def _linked(
    key: Key,
    after: Register,
    before: Contact | None,
    homes: Mapping[Key, UUID],
    effects: Effects,
) -> Contact:
    home = None if after.deleted else homes.get((key[0], after.fields["org_id"]))
    left = before.organization_id if before else None
    published = before.published if before else 0
    if home != left:
        published = max(published + 1, effects.now_us)
        effects.moved([Move(*key, left, home, published)])
    return Contact(*key, after, home, published)


def _changed_edges(
    changed: Mapping[Key, Register], stored: Mapping[Key, Contact]
) -> dict[Key, int | None]:
    edges: dict[Key, int | None] = {}
    for key, after in changed.items():
        before = stored.get(key)
        was = merging.survivor(key[1], before.register) if before else None
        now = merging.survivor(key[1], after)
        if was != now:
            edges[key] = now
    return edges


def _note_stale(activity: Activity, before: Activity | None, effects: Effects) -> None:
    """Mark whom the activity counted for, and now counts for, where that makes a difference."""
    counted = (
        [(before.register.fields, before.moment)] if before and before.moment is not None else []
    )
    if activity.moment is not None:
        counted.append((activity.register.fields, activity.moment))
    for fields, _ in counted:
        if fields["person_id"] is not None:
            effects.stale_contacts.add((activity.company_id, fields["person_id"]))
        if fields["org_id"] is not None:
            effects.stale_records.add((activity.company_id, fields["org_id"]))
