"""What it takes to separate records that were wrongly united, and what results. Reads only.

Rule 1: the records that a user names are called distinct from all others of their organization.
        That is the newest verdict, so whatever held them together yields to it.
Rule 2: under the rules, one contradicting record separates all of a name. So each side that would
        otherwise fall apart is itself called the same.
Rule 3: the preview comes from the partition that the separation would produce.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from services.orgs import closure, contact_store, grouping, weighing
from services.orgs.effects import OrgKey
from services.orgs.grouping import Group
from services.orgs.judging.verdict_store import Verdict
from services.orgs.matching.statement import Statement
from services.orgs.organization_store import Organization
from shared import db
from shared.web import Refused


@dataclass(frozen=True, slots=True)
class Part:
    """A resulting organization, and how many living contacts would be its own."""

    group: Group
    contacts: int


@dataclass(frozen=True, slots=True)
class Parting:
    """`held` are the sides to be called the same. The part that keeps the id comes first."""

    home: Organization
    named: frozenset[UUID]
    rest: frozenset[UUID]
    held: Sequence[frozenset[UUID]]
    parts: Sequence[Part]
    block: closure.Block


async def of(conn: db.Connection, home: Organization, named: frozenset[UUID]) -> Parting:
    """Raises:
    Refused: one is not a living record of it, nothing would be left, or it is too large.
    """
    living = await weighing.living(conn, home)
    rest = living - named
    _check(home, named, living)
    block = await closure.block(conn, {}, {}, {(home.company_id, ref) for ref in living})
    said = block.said.get(home.company_id, [])
    wall = Statement(weighing.following(said), "", uuid4(), same=False, left=named, right=rest)
    groups = _groups(home.company_id, block, [*said, wall], living)
    held = [side for side in (named, rest) if not any(side <= _refs(group) for group in groups)]
    if held:
        staying = [_one(side, wall) for side in held]
        groups = _groups(home.company_id, block, [*said, wall, *staying], living)
    parts = await _parts(conn, (home.company_id, home.organization_id), groups)
    return Parting(home, named, rest, held, parts, block)


async def brought(conn: db.Connection, verdict: Verdict) -> Sequence[Part]:
    """What came of it; nothing where the sides are together again."""
    company_id, named = verdict.company_id, frozenset(verdict.refs)
    block = await closure.block(conn, {}, {}, {(company_id, ref) for ref in named})
    groups = _groups(company_id, block, block.said.get(company_id, []), named)
    if any(all(_refs(group) & set(side) for side in verdict.sides) for group in groups):
        return ()
    return await _parts(conn, (company_id, verdict.field("left_id")), groups)


async def _parts(conn: db.Connection, home: OrgKey, groups: list[Group]) -> Sequence[Part]:
    groups.sort(key=lambda group: (group.organization_id != home[1], _least(group)))
    counts = await contact_store.counted(conn, home[0], [g.records for g in groups])
    return list(map(Part, groups, counts))


def _check(home: Organization, named: frozenset[UUID], living: frozenset[UUID]) -> None:
    for ref in sorted(named - living):
        sentence = f"{ref} is not a current record of the organization {home.organization_id}."
        raise Refused(404, "not_found", sentence)
    if named == living:
        sentence = "These are all of its current records: there is nothing to separate them from."
        raise Refused(409, "nothing_to_part", sentence)
    weighing.check_size(len(living))


def _one(side: frozenset[UUID], wall: Statement) -> Statement:
    nobody: frozenset[UUID] = frozenset()
    return Statement(wall.version, "", uuid4(), same=True, left=side, right=nobody)


def _groups(
    company_id: int, block: closure.Block, said: Sequence[Statement], living: frozenset[UUID]
) -> list[Group]:
    found = grouping.partitioned(block.after.values(), {company_id: said}, block.crowded)
    return [group for group in found if not living.isdisjoint(_refs(group))]


def _refs(group: Group) -> frozenset[UUID]:
    return frozenset(record.record_id for record in group.records)


def _least(group: Group) -> UUID:
    return min(_refs(group))
