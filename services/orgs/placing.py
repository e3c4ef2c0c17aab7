"""Puts changed records where they belong, and takes their contacts along.

Rule 1: every block (tenant and normalized name) that a record left or joined is partitioned as a
        whole; what is written is the difference.
Rule 2: a record that was merged away belongs where the end of its chain belongs, if that lives.
"""

from collections.abc import Iterable, Mapping, Sequence

from services.orgs import contact_store, folding, grouping, merge_store, merging, record_store
from services.orgs.effects import Effects, OrgKey
from services.orgs.folding import Key, RecordKey
from services.orgs.grouping import Record
from services.orgs.record_store import Rehomed
from shared import db, register
from shared.register import Write

Records = dict[OrgKey, Record]
NEW_RECORD = register.empty(grouping.FIELDS)


async def place(
    conn: db.Connection, writes: Mapping[RecordKey, Sequence[Write]], effects: Effects
) -> None:
    stored = await record_store.load(conn, {(w.company_id, w.record_id) for w in writes})
    changed = _changed(writes, stored)
    if not changed:
        return
    roots = await merge_store.settle(conn, "organization", _changed_edges(changed, stored))
    before = {r.key: r for r in await record_store.block(conn, _names(changed, stored))} | stored
    placed = _placed(before | changed, effects)
    await record_store.save(conn, [r for r in placed.values() if r != before.get(r.key)])
    rehomed = _rehomed(placed, before)
    roots |= {(r.company_id, r.number) for r in rehomed if r.number is not None}
    taken = await record_store.take_along(conn, roots)
    effects.vacant |= {(r.company_id, r.record_id) for r in taken}
    effects.stale_records |= _numbers(r for r in placed.values() if r.key not in before)
    await _move_contacts(conn, (*rehomed, *taken), effects)


def _changed(
    writes: Mapping[RecordKey, Sequence[Write]], stored: Mapping[OrgKey, Record]
) -> Records:
    changed: Records = {}
    for row, said in writes.items():
        key = (row.company_id, row.record_id)
        before = changed.get(key) or stored.get(key)
        held = before.register if before else NEW_RECORD
        after = folding.folded(held, said)
        if before is None:
            changed[key] = grouping.named(*key, row.number, after)
        elif after != held:
            number = before.pipedrive_org_id if row.number is None else row.number
            changed[key] = grouping.named(*key, number, after, before.home)
    return changed


def _changed_edges(changed: Records, stored: Mapping[OrgKey, Record]) -> dict[Key, int | None]:
    edges: dict[Key, int | None] = {}
    for key, record in changed.items():
        if record.pipedrive_org_id is None:
            continue
        before = _survivor(stored.get(key))
        after = _survivor(record)
        if before != after:
            edges[record.company_id, record.pipedrive_org_id] = after
    return edges


def _survivor(record: Record | None) -> int | None:
    if record is None or record.pipedrive_org_id is None:
        return None
    return merging.survivor(record.pipedrive_org_id, record.register)


def _names(changed: Records, stored: Mapping[OrgKey, Record]) -> set[OrgKey]:
    """The blocks that changed records were in and are in."""
    return {
        (record.company_id, record.name_key)
        for record in (*changed.values(), *stored.values())
        if record.name_key is not None
    }


def _placed(block: Records, effects: Effects) -> Records:
    """The block's records at home, but for the merged-away ones, which keep theirs for now."""
    placed = {
        key: record
        if record.lives or _survivor(record) is not None
        else record._replace(home=None)
        for key, record in block.items()
    }
    effects.vacant |= block.keys()
    for group in grouping.partition(block.values()):
        key = (group.company_id, group.organization_id)
        effects.shown[key] = grouping.shown(group.records)
        effects.vacant.discard(key)
        placed |= {r.key: r._replace(home=group.organization_id) for r in group.records}
    return placed


def _numbers(records: Iterable[Record]) -> set[Key]:
    return {(r.company_id, r.pipedrive_org_id) for r in records if r.pipedrive_org_id is not None}


def _rehomed(placed: Records, before: Records) -> list[Rehomed]:
    found: list[Rehomed] = []
    for key, record in placed.items():
        held = before.get(key)
        left = held.home if held else None
        if record.home != left:
            found.append(Rehomed(*key, record.pipedrive_org_id, left, record.home))
    return found


async def _move_contacts(
    conn: db.Connection, rehomed: Sequence[Rehomed], effects: Effects
) -> None:
    """`rehomed` in the order it happened: a record's last home is where its contacts go."""
    for record in rehomed:
        homes = (record.left, record.joined)
        effects.touched |= {(record.company_id, home) for home in homes if home is not None}
    last = {(r.company_id, r.number): r.joined for r in rehomed if r.number is not None}
    homes_of = [(company_id, number, home) for (company_id, number), home in last.items()]
    effects.moved(await contact_store.relink(conn, homes_of, now_us=effects.now_us))
