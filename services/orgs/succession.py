"""Where an id leads that is not a living organization's.

Rule 1: to its record's organization; if there is none, to the records that people called the same;
        else to the organization that has its name, if only one has it.
Rule 2: by name never to one that it could not have been united with: a person called them
        distinct, or their domains or countries contradict.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from services.orgs import closure, grouping, merge_store, record_store
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.judging import verdict_store
from services.orgs.judging.verdict_store import Verdict
from services.orgs.matching import statement
from services.orgs.matching.statement import Statement
from shared import db, ids


async def of(conn: db.Connection, records: Sequence[OrgKey]) -> dict[OrgKey, UUID | None]:
    """Has an entry for every id that is a record's."""
    found = await record_store.successors(conn, records)
    leads = {key: each.home for key, each in found.items()}
    homeless = [key for key, home in leads.items() if home is None]
    said = await verdict_store.naming(conn, homeless)
    leads |= await _called_the_same(conn, homeless, said)
    named = {
        key: each.named
        for key, each in found.items()
        if each.named is not None and leads[key] is None
    }
    called_apart = await _called_apart(conn, named, said)
    return leads | {key: into for key, into in named.items() if key not in called_apart}


async def _called_the_same(
    conn: db.Connection, homeless: Collection[OrgKey], said: Sequence[Verdict]
) -> dict[OrgKey, UUID | None]:
    """The organizations of records that a valid merge names together with these or their heirs."""
    merges = [v for v in said if v.statement is not None and v.statement.same]
    asked = {(v.company_id, ref) for v in merges for ref in v.refs} & set(homeless)
    if not asked:
        return {}
    block = await closure.block(conn, {}, {}, asked)
    groups = grouping.partitioned(block.after.values(), block.said, block.crowded)
    homes = {(g.company_id, ref): g.organization_id for g in groups for ref in g.gone}
    heirs = await _heirs(conn, [block.after[key] for key in asked])
    return {
        (company_id, ref): homes.get((company_id, heirs.get(company_id, {}).get(ref, ref)))
        for company_id, ref in asked
    }


async def _called_apart(
    conn: db.Connection, named: Mapping[OrgKey, UUID], said: Sequence[Verdict]
) -> set[OrgKey]:
    """Those that a person called distinct from the organization's records."""
    if not named or not said:
        return set()
    keys = {(verdict.company_id, ref) for verdict in said for ref in verdict.refs}
    # A verdict that overrides another names records of both its sides, not always the gone one.
    said = await verdict_store.naming(conn, keys | named.keys())
    keys = {(verdict.company_id, ref) for verdict in said for ref in verdict.refs}
    records = await record_store.load(conn, keys)
    heirs = await _heirs(conn, records.values())
    living: dict[OrgKey, set[UUID]] = {}
    for record in records.values():
        if record.lives and record.home is not None:
            living.setdefault((record.company_id, record.home), set()).add(record.record_id)
    apart = {each: _Apart(said, each, heirs.get(each, {})) for each, _ in named}
    return {
        (company_id, ref)
        for (company_id, ref), into in named.items()
        if apart[company_id].is_none_of(ref, living.get((company_id, into), ()))
    }


class _Apart:
    """A company's "distinct" verdicts: as decided, and mapped to present records."""

    def __init__(
        self, said: Collection[Verdict], company_id: int, heirs: Mapping[UUID, UUID]
    ) -> None:
        standing = _walls(said, company_id, heirs)
        self._now = {told.verdict_id: now for told, now in standing}
        self._told = statement.by_ref(told for told, _ in standing)
        self._became: dict[UUID, set[UUID]] = {}
        for loser, heir in heirs.items():
            self._became.setdefault(heir, set()).add(loser)

    def is_none_of(self, ref: UUID, members: Collection[UUID]) -> bool:
        own = {ref, *self._became.get(ref, ())}
        for told in statement.naming(own, self._told):
            now = self._now[told.verdict_id]
            if not (told.left.isdisjoint(own) or now.right.isdisjoint(members)):
                return True
            if not (told.right.isdisjoint(own) or now.left.isdisjoint(members)):
                return True
        return False


def _walls(
    said: Collection[Verdict], company_id: int, heirs: Mapping[UUID, UUID]
) -> list[tuple[Statement, Statement]]:
    """The walls, as decided and mapped to present records."""
    told = {
        each.verdict_id: each.statement
        for each in said
        if each.company_id == company_id and each.statement is not None
    }
    now = statement.resolved(told.values(), heirs)
    standing = statement.walls(statement.newest_first(now))
    return [(told[wall.verdict_id], wall) for wall in standing]


async def _heirs(conn: db.Connection, records: Collection[Record]) -> dict[int, dict[UUID, UUID]]:
    """Per tenant, what the records that Pipedrive merged away became."""
    gone = {
        (r.company_id, r.pipedrive_org_id): r.record_id
        for r in records
        if not r.lives and r.pipedrive_org_id is not None
    }
    found: dict[int, dict[UUID, UUID]] = {}
    for key, root in (await merge_store.roots(conn, "organization", gone.keys())).items():
        found.setdefault(key[0], {})[gone[key]] = ids.organization(key[0], root)
    return found
