"""Which records a verdict about two organizations names, and what a merge of them would do.

Rule 1: a verdict names records, so it survives whatever happens to organizations: the record that
        gives its organization the id (or is asked about), and those that the rules unite with it.
        What is there by another merge moves along by that merge, and leaves when it is undone.
Rule 2: a merge overrides contrary verdicts, by naming their records too.
Rule 3: the preview comes from the partition that the merge would produce.
Rule 4: the worker does not wait for people's decisions: what it deletes meanwhile is not merged.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from services.orgs import closure, contact_store, grouping, organization_store, record_store
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.judging.verdict_store import Verdict
from services.orgs.matching.statement import Statement
from services.orgs.organization_store import Organization
from shared import db
from shared.web import Refused

MOST_RECORDS = 10_000
"""A verdict names each record, and must fit into a message."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Two organizations, the records of each that a verdict names, and the block around them."""

    winner: Organization
    loser: Organization
    winning: frozenset[UUID]
    losing: frozenset[UUID]
    block: closure.Block


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a merge would do: the survivor, its records, and what would move to it."""

    survivor: Organization
    records: Sequence[Record]
    moving: Sequence[Record]
    contacts: int
    overridden: Sequence[UUID]


def standing(organization: Organization) -> tuple[int, bool, int, bytes]:
    """By contacts, then by id: the lowest wins."""
    number = organization.shown.pipedrive_org_id
    return (
        -organization.contact_count,
        number is None,
        number or 0,
        organization.organization_id.bytes,
    )


async def sides(
    conn: db.Connection, winner: tuple[Organization, UUID], loser: tuple[Organization, UUID]
) -> Sides:
    """Each side with the record that stands for it.

    Raises:
        Refused: 409, they are already one, too large, or have changed.
    """
    company_id = winner[0].company_id
    homes = (winner[0].organization_id, loser[0].organization_id)
    if homes[0] == homes[1]:
        raise Refused(409, "already_one", "They are already one organization.")
    held = (await _living(conn, *winner), await _living(conn, *loser))
    check_size(sum(map(len, held)))
    keys = {(company_id, ref) for refs in held for ref in refs}
    block = await closure.block(conn, {}, {}, keys)
    return _sides(winner, loser, held, block)


def check_size(records: int) -> None:
    """Raises:
    Refused: 409, a verdict can't name that many.
    """
    if records > MOST_RECORDS:
        sentence = f"They have more than {MOST_RECORDS} records together."
        raise Refused(409, "too_many_records", sentence)


def _sides(
    winner: tuple[Organization, UUID],
    loser: tuple[Organization, UUID],
    held: tuple[frozenset[UUID], frozenset[UUID]],
    block: closure.Block,
) -> Sides:
    """`held` are the living records of each."""
    said = block.said.get(winner[0].company_id, [])
    by_rule, walled = _by_rule(block, said), _walled(said, *held)
    left = held[0] & (_with(winner[1], by_rule) | walled)
    right = held[1] & (_with(loser[1], by_rule) | walled)
    return Sides(winner[0], loser[0], left, right, block)


Pair = tuple[tuple[Organization, UUID], tuple[Organization, UUID]]
"""Winner and loser, each with the record that stands for it."""


async def moving(
    conn: db.Connection, company_id: int, pairs: Sequence[Pair]
) -> list[tuple[int, int]]:
    """How many contacts and records a merge of each pair would bring to the winner. Pairs must be
    those of the connection's snapshot.
    """
    homes = {(company_id, side[0].organization_id) for pair in pairs for side in pair}
    found = await record_store.living_in(conn, homes)
    keys = {record.key for records in found.values() for record in records}
    parts = closure.Parts(await closure.block(conn, {}, {}, keys))
    coming: list[Sequence[Record]] = []
    for pair in pairs:
        coming.append(_coming(pair, found, parts))
        await asyncio.sleep(0)  # many connected answers take long: let others run
    counts = await contact_store.counted(conn, company_id, coming)
    return [(contacts, len(records)) for records, contacts in zip(coming, counts, strict=True)]


def _coming(
    pair: Pair, records_of: Mapping[OrgKey, Sequence[Record]], parts: closure.Parts
) -> Sequence[Record]:
    winner, loser = pair
    found = [records_of.get((side[0].company_id, side[0].organization_id), ()) for side in pair]
    left, right = (frozenset(record.record_id for record in records) for records in found)
    block = parts.around(record.key for records in found for record in records)
    of = _sides(winner, loser, (left, right), block)
    return _moving(of, _whole(of))


def _by_rule(block: closure.Block, said: Sequence[Statement]) -> dict[UUID, frozenset[UUID]]:
    """For each living record, the records that would be together with it without any merges by
    people.
    """
    distinct = [each for each in said if not each.same]
    companies = {record.company_id for record in block.after.values()}
    groups = grouping.partitioned(
        block.after.values(), dict.fromkeys(companies, distinct), block.crowded
    )
    found: dict[UUID, frozenset[UUID]] = {}
    for group in groups:
        refs = frozenset(record.record_id for record in group.records)
        found |= dict.fromkeys(refs, refs)
    return found


def _with(ref: UUID, by_rule: Mapping[UUID, frozenset[UUID]]) -> frozenset[UUID]:
    """Raises:
    Refused: 409, it no longer lives.
    """
    if ref not in by_rule:
        raise _changed_meanwhile()
    return by_rule[ref]


def _changed_meanwhile() -> Refused:
    sentence = "One of them was just changed or deleted. Review them again."
    return Refused(409, "changed_meanwhile", sentence)


async def held(
    conn: db.Connection, home: Organization, ref: UUID
) -> tuple[closure.Block, frozenset[UUID]]:
    """The records of an organization that only verdicts hold together with one of its records."""
    records = await _living(conn, home, ref)
    block = await closure.block(conn, {}, {}, {(home.company_id, each) for each in records})
    said = block.said.get(home.company_id, [])
    return block, records - _with(ref, _by_rule(block, said))


def _walled(
    said: Iterable[Statement], one: frozenset[UUID], other: frozenset[UUID]
) -> frozenset[UUID]:
    """The records of two organizations that were called distinct from the other's."""
    found: frozenset[UUID] = frozenset()
    for each in said:
        if not each.same and _parts(each, one, other):
            found |= each.refs & (one | other)
    return found


def _parts(wall: Statement, one: frozenset[UUID], other: frozenset[UUID]) -> bool:
    return bool(
        (wall.left & one and wall.right & other) or (wall.left & other and wall.right & one)
    )


async def organization(
    conn: db.Connection, company_id: int, organization_id: UUID
) -> Organization:
    found = await organization_store.by_any_id(conn, company_id, organization_id)
    if found is None:
        sentence = f"There is no organization {organization_id}."
        raise Refused(404, "not_found", sentence)
    return found


async def _living(conn: db.Connection, home: Organization, ref: UUID) -> frozenset[UUID]:
    """Its records, one among them.

    Raises:
        Refused: 409, that one is not.
    """
    found = await living(conn, home)
    if ref not in found:
        raise _changed_meanwhile()
    return found


async def living(conn: db.Connection, home: Organization) -> frozenset[UUID]:
    """The living records of an organization."""
    records = await record_store.of_organization(conn, home.company_id, home.organization_id)
    return frozenset(record.record_id for record in records if record.lives)


async def prospect(conn: db.Connection, of: Sides) -> Prospect:
    """The partition as it would be if both sides were called the same now."""
    said = of.block.said.get(of.winner.company_id, [])
    whole = _whole(of)
    moving = _moving(of, whole)
    walls = {s.verdict_id for s in said if not s.same and _parts(s, of.winning, of.losing)}
    theirs = await contact_store.theirs(conn, whole.records)
    survivor = of.winner._replace(
        organization_id=whole.organization_id,
        shown=grouping.shown(whole.records, whole.organization_id),
        contact_count=theirs.contacts,
        last_activity=theirs.newest_moment,
    )
    [coming] = await contact_store.counted(conn, of.winner.company_id, [moving])
    return Prospect(survivor, whole.records, moving, coming, sorted(walls))


async def brought(
    conn: db.Connection, home: Organization, merge: Verdict
) -> tuple[Sides, Prospect]:
    """What a merge that holds brought to an organization: what would not be there without it."""
    company_id = home.company_id
    found = await record_store.of_organization(conn, company_id, home.organization_id)
    records = [record for record in found if record.lives]
    block = await closure.block(conn, {}, {}, {record.key for record in records})
    said = block.said.get(company_id, [])
    winning, losing = map(frozenset, merge.sides)
    others = [each for each in said if each.verdict_id != merge.verdict_id]
    without = grouping.partitioned(block.after.values(), {company_id: others}, block.crowded)
    own = {
        record.record_id
        for group in without
        if any(record.record_id in winning for record in group.records)
        for record in group.records
    }
    moved = [record for record in records if record.record_id not in own]
    [came] = await contact_store.counted(conn, company_id, [moved])
    walls = {s.verdict_id for s in said if not s.same and _parts(s, winning, losing)}
    winner, loser = (
        home._replace(organization_id=merge.field(side)) for side in ("left_id", "right_id")
    )
    sides = Sides(winner, loser, winning, losing, block)
    return sides, Prospect(home, records, moved, came, sorted(walls))


def _whole(of: Sides) -> grouping.Group:
    """The resulting organization."""
    company_id, block = of.winner.company_id, of.block
    said = block.said.get(company_id, [])
    merged = Statement(
        following(said),
        "",
        uuid4(),
        same=True,
        left=of.winning,
        right=of.losing,
        keeper=of.winner.organization_id,
    )
    groups = grouping.partitioned(
        block.after.values(), {company_id: [*said, merged]}, block.crowded
    )
    return next(g for g in groups if any(r.record_id in of.winning for r in g.records))


def following(said: Iterable[Statement]) -> int:
    """The version for a statement that follows all these."""
    return max([time.time_ns() // 1000, *(each.version + 1 for each in said)])


def _moving(of: Sides, whole: grouping.Group) -> list[Record]:
    return [record for record in whole.records if record.home != of.winner.organization_id]
