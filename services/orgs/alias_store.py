"""SQL of the names and web domains that records have ever had. None commits.

Rule: each is kept from whichever body named it, even from one that arrived too late to count, so
the order of arrival does not matter.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from services.orgs import names
from services.orgs.effects import OrgKey
from services.orgs.folding import RecordKey
from services.orgs.matching import domain
from shared import db
from shared.register import Write

KEEP = """
INSERT INTO aliases AS a (company_id, record_id, name_key, name, first_version, last_version)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[])
    ON CONFLICT (company_id, record_id, name_key) DO UPDATE
   SET name = CASE WHEN (EXCLUDED.last_version, EXCLUDED.name) > (a.last_version, a.name)
                   THEN EXCLUDED.name ELSE a.name END,
       first_version = least(a.first_version, EXCLUDED.first_version),
       last_version = greatest(a.last_version, EXCLUDED.last_version)
 WHERE EXCLUDED.first_version < a.first_version
    OR (EXCLUDED.last_version, EXCLUDED.name) > (a.last_version, a.name)
RETURNING a.company_id, a.record_id, a.name_key, new.first_version < old.first_version
"""

KEEP_DOMAINS = """
INSERT INTO domains AS d (company_id, record_id, domain, first_version, last_version)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[])
    ON CONFLICT (company_id, record_id, domain) DO UPDATE
   SET first_version = least(d.first_version, EXCLUDED.first_version),
       last_version = greatest(d.last_version, EXCLUDED.last_version)
 WHERE EXCLUDED.first_version < d.first_version OR EXCLUDED.last_version > d.last_version
RETURNING d.company_id, d.record_id, d.domain, new.first_version < old.first_version
"""

DOMAINS_OF = """
SELECT d.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN domains d USING (company_id, record_id)
 ORDER BY d.first_version, d.record_id, d.domain
"""

OF_RECORDS = """
SELECT k.record_id AS asked, a.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN aliases a USING (company_id, record_id)
 ORDER BY a.first_version, a.record_id, a.name_key
"""

OF_ALL = """
SELECT k.record_id AS asked, a.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
 CROSS JOIN LATERAL (
       SELECT k.record_id
        UNION ALL
       SELECT l.record_id
         FROM records r
         JOIN merges m
           ON m.company_id = r.company_id AND m.kind = 'organization'
          AND m.root = r.pipedrive_org_id
         JOIN records l ON l.company_id = m.company_id AND l.pipedrive_org_id = m.loser
        WHERE r.company_id = k.company_id AND r.record_id = k.record_id) AS own
  JOIN aliases a ON a.company_id = k.company_id AND a.record_id = own.record_id
 ORDER BY a.first_version, a.record_id, a.name_key
"""


class Alias(NamedTuple):
    company_id: int
    record_id: UUID
    name_key: UUID
    name: str
    first_version: int
    last_version: int


class Domain(NamedTuple):
    company_id: int
    record_id: UUID
    domain: str
    first_version: int
    last_version: int


class Kept(NamedTuple):
    """A name (by its key) or a domain about which something is new. `earlier`: it was named before
    all bodies known to name it.
    """

    record: OrgKey
    key: UUID | str
    earlier: bool


def told(writes: Mapping[RecordKey, Iterable[Write]]) -> list[Alias]:
    """Every name in the writes, once per record."""
    found: dict[tuple[int, UUID, UUID], Alias] = {}
    for row, said in writes.items():
        for write in said:
            name = write.carried.get("name")
            name_key = names.key(row.company_id, names.normalized(name))
            if name and name_key is not None:
                key = (row.company_id, row.record_id, name_key)
                version = write.stamp.version
                alias = Alias(*key, name, version, version)
                found[key] = _joined(found.get(key, alias), alias)
    return list(found.values())


def _joined(one: Alias, other: Alias) -> Alias:
    newest = max(one, other, key=lambda alias: (alias.last_version, alias.name))
    return newest._replace(first_version=min(one.first_version, other.first_version))


def domains_told(writes: Mapping[RecordKey, Iterable[Write]]) -> list[Domain]:
    """Every domain in the writes, once per record."""
    found: dict[tuple[int, UUID, str], Domain] = {}
    for row, said in writes.items():
        for write in said:
            spoken = domain.of(write.carried.get("website"))
            if spoken is not None:
                key = (row.company_id, row.record_id, spoken)
                version = write.stamp.version
                held = found.get(key, Domain(*key, version, version))
                first, last = held.first_version, held.last_version
                found[key] = Domain(*key, min(first, version), max(last, version))
    return list(found.values())


async def keep(
    conn: db.Connection, aliases: Sequence[Alias], domains: Sequence[Domain]
) -> list[Kept]:
    found: list[Kept] = []
    for statement, cells in ((KEEP, aliases), (KEEP_DOMAINS, domains)):
        if cells:
            rows = await conn.fetch(statement, *db.columns(cells, len(cells[0])))
            found += [Kept((row[0], row[1]), row[2], bool(row[3])) for row in rows]
    return found


async def domains_of(
    conn: db.Connection, records: Collection[OrgKey]
) -> dict[OrgKey, list[Domain]]:
    """The domains of each record, the oldest first."""
    found: dict[OrgKey, list[Domain]] = {}
    if records:
        for row in await conn.fetch(DOMAINS_OF, *db.columns(list(records), 2)):
            each = Domain(*row)
            found.setdefault((each.company_id, each.record_id), []).append(each)
    return found


async def of_records(
    conn: db.Connection | db.Pool, records: Collection[OrgKey]
) -> dict[OrgKey, list[Alias]]:
    """The names of each record, the oldest first."""
    return await _names(conn, OF_RECORDS, records)


async def of_all(conn: db.Connection, records: Collection[OrgKey]) -> dict[OrgKey, list[Alias]]:
    """The same, with the names of what Pipedrive merged into each."""
    return await _names(conn, OF_ALL, records)


async def _names(
    conn: db.Connection | db.Pool, statement: str, records: Collection[OrgKey]
) -> dict[OrgKey, list[Alias]]:
    found: dict[OrgKey, list[Alias]] = {}
    if records:
        for asked, *row in await conn.fetch(statement, *db.columns(list(records), 2)):
            alias = Alias(*row)
            found.setdefault((alias.company_id, asked), []).append(alias)
    return found
