"""SQL of the organization records. Every function takes the caller's connection; none commits."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import rows
from services.orgs.effects import OrgKey
from services.orgs.folding import Key
from services.orgs.grouping import FIELDS, Record
from shared import db

LOAD = """
SELECT r.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN records r USING (company_id, record_id)
"""

BLOCK = """
SELECT r.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, name_key)
  JOIN records r USING (company_id, name_key)
"""

# Takes those whose chain of merges ends at one of the given ids along to where that end belongs.
TAKE_ALONG = """
UPDATE records r
   SET organization_id = fresh.home
  FROM (SELECT m.company_id, m.loser, CASE WHEN NOT s.deleted THEN s.organization_id END AS home
          FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, root)
          JOIN merges m
            ON m.company_id = k.company_id AND m.kind = 'organization' AND m.root = k.root
          LEFT JOIN records s
            ON s.company_id = m.company_id AND s.pipedrive_org_id = m.root) AS fresh
 WHERE r.company_id = fresh.company_id AND r.pipedrive_org_id = fresh.loser
   AND r.organization_id IS DISTINCT FROM fresh.home
RETURNING r.company_id, r.record_id, r.pipedrive_org_id, old.organization_id AS left_id,
          new.organization_id AS joined_id
"""

UPSERT = """
INSERT INTO records (
       company_id, record_id, pipedrive_org_id, version, rank, event_id, deleted, lag,
       name, industry, size, website, address, country, city, postcode, merged_into,
       normalized_name, name_key, organization_id)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[],
              $7::boolean[], $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::text[],
              $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[],
              $19::uuid[], $20::uuid[])
    ON CONFLICT (company_id, record_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, name = EXCLUDED.name,
       industry = EXCLUDED.industry, size = EXCLUDED.size, website = EXCLUDED.website,
       address = EXCLUDED.address, country = EXCLUDED.country, city = EXCLUDED.city,
       postcode = EXCLUDED.postcode, merged_into = EXCLUDED.merged_into,
       normalized_name = EXCLUDED.normalized_name, name_key = EXCLUDED.name_key,
       organization_id = EXCLUDED.organization_id
"""

HOMES = """
SELECT r.company_id, r.pipedrive_org_id, r.organization_id
  FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, pipedrive_org_id)
  JOIN records r USING (company_id, pipedrive_org_id)
 WHERE r.organization_id IS NOT NULL
"""

# Where an id that is no organization's any more leads: where its record belongs, else to the
# organization that has the record's name.
SUCCESSORS = """
SELECT r.company_id, r.record_id,
       coalesce(r.organization_id,
                (SELECT n.organization_id
                   FROM records n
                  WHERE n.company_id = r.company_id AND n.name_key = r.name_key AND NOT n.deleted
                  LIMIT 1)) AS organization_id
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN records r USING (company_id, record_id)
"""

OF_NAME = """
SELECT organization_id
  FROM records
 WHERE company_id = $1 AND name_key = $2 AND NOT deleted
 LIMIT 1
"""


class Rehomed(NamedTuple):
    """A record that belongs elsewhere than before."""

    company_id: int
    record_id: UUID
    number: int | None
    left: UUID | None
    joined: UUID | None


def _record(row: Any) -> Record:
    return Record(
        row["company_id"],
        row["record_id"],
        row["pipedrive_org_id"],
        rows.register(row, FIELDS),
        row["normalized_name"],
        row["name_key"],
        row["organization_id"],
    )


async def load(conn: db.Connection, keys: Collection[OrgKey]) -> dict[OrgKey, Record]:
    found = await conn.fetch(LOAD, *db.columns(list(keys), 2))
    return {(row["company_id"], row["record_id"]): _record(row) for row in found}


async def block(conn: db.Connection, name_keys: Collection[OrgKey]) -> list[Record]:
    """All records, living or not, that have one of the names."""
    if not name_keys:
        return []
    return [_record(row) for row in await conn.fetch(BLOCK, *db.columns(list(name_keys), 2))]


async def take_along(conn: db.Connection, roots: Collection[Key]) -> list[Rehomed]:
    if not roots:
        return []
    found = await conn.fetch(TAKE_ALONG, *db.columns(list(roots), 2))
    return [Rehomed(*row) for row in found]


async def save(conn: db.Connection, records: Iterable[Record]) -> None:
    cells = [
        (
            r.company_id,
            r.record_id,
            r.pipedrive_org_id,
            *rows.cells(r.register, FIELDS),
            r.normalized_name,
            r.name_key,
            r.home,
        )
        for r in records
    ]
    if cells:
        await conn.execute(UPSERT, *db.columns(cells, 20))


async def homes(conn: db.Connection, numbers: Collection[Key]) -> dict[Key, UUID]:
    """Where what names each of these Pipedrive organizations belongs, if anywhere."""
    if not numbers:
        return {}
    found = await conn.fetch(HOMES, *db.columns(list(numbers), 2))
    return {(row["company_id"], row["pipedrive_org_id"]): row["organization_id"] for row in found}


async def successors(conn: db.Connection, ids: Sequence[OrgKey]) -> dict[OrgKey, UUID | None]:
    if not ids:
        return {}
    found = await conn.fetch(SUCCESSORS, *db.columns(ids, 2))
    return {(row["company_id"], row["record_id"]): row["organization_id"] for row in found}


async def of_name(conn: db.Connection | db.Pool, company_id: int, name_key: UUID) -> UUID | None:
    """The organization that has a name."""
    found: UUID | None = await conn.fetchval(OF_NAME, company_id, name_key)
    return found
