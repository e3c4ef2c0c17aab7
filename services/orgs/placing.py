"""Puts records where they belong after they or people's verdicts changed, with their contacts.

Rule 1: the whole block that a change can unite or separate is partitioned again; the difference is
        written.
Rule 2: a record that was merged away belongs where the end of its chain belongs, if that lives.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.orgs import (
    alias_store,
    candidate_store,
    closure,
    contact_store,
    folding,
    grouping,
    merge_store,
    merging,
    record_store,
)
from services.orgs.alias_store import Kept
from services.orgs.closure import Block
from services.orgs.contact_store import Home
from services.orgs.effects import Effects, OrgKey
from services.orgs.folding import Key, RecordKey
from services.orgs.grouping import Record
from services.orgs.judging import verdict_store
from services.orgs.judging.verdict_store import Verdict
from services.orgs.record_store import Rehomed
from shared import db, ids, register
from shared.register import Write

Records = dict[OrgKey, Record]
NEW_RECORD = register.empty(grouping.FIELDS)
NEW_VERDICT = register.empty(folding.VERDICT_FIELDS)


async def place(
    conn: db.Connection, writes: Mapping[RecordKey, Sequence[Write]], effects: Effects
) -> None:
    """Apply facts about records."""
    stored = await record_store.load(conn, {(w.company_id, w.record_id) for w in writes})
    told = alias_store.told(writes), alias_store.domains_told(writes)
    kept = await alias_store.keep(conn, *told)
    changed = _changed(writes, stored)
    late = _told_late(kept, {**stored, **changed})
    await candidate_store.ask_anew(conn, late.keys() | await _became(conn, late.values()))
    if not changed:
        return
    roots = await merge_store.settle(conn, "organization", _changed_edges(changed, stored))
    others = {(company_id, ids.organization(company_id, root)) for company_id, root in roots}
    # Whatever is merged into it, or no longer is, changes its names.
    await candidate_store.ask_anew(conn, others)
    block = await closure.block(conn, stored, changed, others)
    await settle(conn, block, effects, roots)


async def judge(
    conn: db.Connection,
    writes: Mapping[tuple[int, UUID], Sequence[Write]],
    effects: Effects,
) -> None:
    """Apply people's verdicts about records."""
    stored = await verdict_store.load(conn, writes.keys())
    changed: list[Verdict] = []
    for key, said in writes.items():
        held = stored[key].register if key in stored else NEW_VERDICT
        after = folding.folded(held, said)
        if after != held:
            changed.append(Verdict(*key, after))
    if not changed:
        return
    await verdict_store.save(conn, changed)
    named = {(verdict.company_id, ref) for verdict in changed for ref in verdict.refs}
    # An answer makes room for questions that were beyond the limit.
    await candidate_store.ask_anew(conn, named)
    await rearrange(conn, named, effects)


async def rearrange(conn: db.Connection, named: Iterable[OrgKey], effects: Effects) -> None:
    """Partition again around records that did not change themselves."""
    held = await record_store.load(conn, set(named))
    block = await closure.block(conn, {}, {}, held.keys() | await _became(conn, held.values()))
    await settle(conn, block, effects)


async def settle(
    conn: db.Connection, block: Block, effects: Effects, roots: Iterable[Key] = ()
) -> None:
    """Write where the block's records belong, with all consequences."""
    before = block.before
    placed = _placed(block, effects)
    await _save(conn, placed, before)
    rehomed = _rehomed(placed, before)
    ends = {*roots, *_numbers_of(rehomed)}
    taken = await record_store.take_along(conn, ends)
    effects.vacant |= {(r.company_id, r.record_id): r.joined for r in taken}
    effects.stale_records |= _numbers(r for r in placed.values() if r.key not in before)
    await _move_contacts(conn, (*rehomed, *taken), effects)


async def _save(conn: db.Connection, placed: Records, before: Mapping[OrgKey, Record]) -> None:
    changed = [r for key, r in placed.items() if r != before.get(key)]
    moved = [r for r in changed if (b := before.get(r.key)) and b._replace(home=r.home) == r]
    kept = {r.key for r in moved}
    written = [r for r in changed if r.key not in kept]
    unasked = {r.key for r in written if _is_compared_otherwise(r, before.get(r.key))}
    await record_store.save(conn, written, unasked)
    await record_store.rehome(conn, moved)


def _is_compared_otherwise(after: Record, before: Record | None) -> bool:
    """Its content or its organization changed: within an organization nothing is asked."""
    if before is None or before.home != after.home:
        return True
    return (before.profile, before.lives) != (after.profile, after.lives)


def _told_late(kept: Iterable[Kept], held: Mapping[OrgKey, Record]) -> Records:
    """Records that got a late body about the past, without a change to what they are now."""
    found: Records = {}
    for record_key, key, earlier in kept:
        record = held[record_key]
        if earlier or key not in (record.name_key, record.profile.domain):
            found[record_key] = record
    return found


async def _became(conn: db.Connection, records: Iterable[Record]) -> set[OrgKey]:
    """The present records of those that Pipedrive merged away."""
    roots = await merge_store.roots(conn, "organization", _numbers(records))
    return {(company, ids.organization(company, root)) for (company, _), root in roots.items()}


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


def _placed(block: Block, effects: Effects) -> Records:
    """The block's records with their homes; merged-away ones keep theirs for now."""
    records = block.after
    placed = {
        key: record
        if record.lives or _survivor(record) is not None
        else record._replace(home=None)
        for key, record in records.items()
    }
    for key in records:
        effects.vacant[key] = None
        effects.shown.pop(key, None)
        effects.called.pop(key, None)
    for group in grouping.partitioned(records.values(), block.said, block.crowded):
        key = (group.company_id, group.organization_id)
        effects.shown[key] = grouping.shown(group.records, group.organization_id)
        effects.called[key] = grouping.called(group.records)
        effects.vacant |= dict.fromkeys((r.key for r in group.records), group.organization_id)
        del effects.vacant[key]
        placed |= {r.key: r._replace(home=group.organization_id) for r in group.records}
    return placed


def _numbers(records: Iterable[Record]) -> set[Key]:
    return {(r.company_id, r.pipedrive_org_id) for r in records if r.pipedrive_org_id is not None}


def _numbers_of(rehomed: Iterable[Rehomed]) -> set[Key]:
    return {(r.company_id, r.number) for r in rehomed if r.number is not None}


def _rehomed(placed: Records, before: Mapping[OrgKey, Record]) -> list[Rehomed]:
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
    """`rehomed` in the order it happened: a record's last home is where its contacts go. Those
    of a large one follow later (`relinking`).
    """
    for record in rehomed:
        homes = (record.left, record.joined)
        effects.touched |= {(record.company_id, home) for home in homes if home is not None}
    last = {(r.company_id, r.number): r.joined for r in rehomed if r.number is not None}
    homes_of = [Home(*key, home) for key, home in last.items()]
    moves = await contact_store.relink(conn, homes_of, now_us=effects.now_us)
    effects.moved(moves)
    if len(moves) == contact_store.AT_ONCE:
        await contact_store.relink_later(conn, homes_of)
