"""SQL of the contacts. Every function takes the caller's connection; none commits."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.orgs import rows
from services.orgs.effects import Move
from services.orgs.folding import CONTACT_FIELDS, Key
from services.orgs.grouping import Record
from shared import db
from shared.register import Register

LOAD = """
SELECT c.*
  FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, person_id)
  JOIN contacts c USING (company_id, person_id)
"""

UPSERT = """
INSERT INTO contacts (
       company_id, person_id, version, rank, event_id, deleted, lag, org_id, merged_into,
       organization_id, published)
SELECT *
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
              $6::boolean[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::uuid[], $11::bigint[])
    ON CONFLICT (company_id, person_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, org_id = EXCLUDED.org_id,
       merged_into = EXCLUDED.merged_into, organization_id = EXCLUDED.organization_id,
       published = EXCLUDED.published
"""

RELINK = """
UPDATE contacts c
   SET organization_id = k.home, published = greatest(c.published + 1, $4)
  FROM unnest($1::bigint[], $2::bigint[], $3::uuid[]) AS k (company_id, org_id, home)
 WHERE c.company_id = k.company_id AND c.org_id = k.org_id
   AND NOT c.deleted AND c.organization_id IS DISTINCT FROM k.home
RETURNING c.company_id, c.person_id, old.organization_id AS left_id, new.organization_id AS
          joined_id, c.published
"""

# Also contacts that name what was merged into the records in Pipedrive.
THEIRS = """
WITH named AS (
    SELECT k.number FROM unnest($3::bigint[]) AS k (number)
     UNION
    SELECT m.loser
      FROM unnest($3::bigint[]) AS k (number)
      JOIN merges m ON m.company_id = $1 AND m.kind = 'organization' AND m.root = k.number)
SELECT linked.contacts, greatest(linked.newest, told.newest) AS newest_moment
  FROM (SELECT count(*) AS contacts, max(c.last_moment) AS newest
          FROM contacts c
         WHERE c.company_id = $1 AND c.organization_id = ANY ($2::uuid[]) AND NOT c.deleted
           AND c.org_id IN (SELECT number FROM named)) AS linked,
       (SELECT max(r.last_moment) AS newest
          FROM records r
         WHERE r.company_id = $1 AND r.pipedrive_org_id IN (SELECT number FROM named)) AS told
"""


# The same count for several groups of records at once.
COUNTED = """
WITH told AS (
    SELECT * FROM unnest($2::int[], $3::bigint[]) AS k (place, number)),
named AS (
    SELECT place, number FROM told
     UNION
    SELECT told.place, m.loser
      FROM told
      JOIN merges m ON m.company_id = $1 AND m.kind = 'organization' AND m.root = told.number)
SELECT named.place, count(*)
  FROM named
  JOIN contacts c ON c.company_id = $1 AND c.org_id = named.number
 WHERE c.organization_id IS NOT NULL AND NOT c.deleted
 GROUP BY named.place
"""


class Contact(NamedTuple):
    """`organization_id` is null while there is none; `published` is its last published version."""

    company_id: int
    person_id: int
    register: Register
    organization_id: UUID | None
    published: int


class Theirs(NamedTuple):
    """How many living contacts some records bring to their organization, and the newest moment of
    these contacts and records.
    """

    contacts: int
    newest_moment: datetime | None


async def load(conn: db.Connection, keys: Collection[Key]) -> dict[Key, Contact]:
    found = await conn.fetch(LOAD, *db.columns(list(keys), 2))
    return {
        (row["company_id"], row["person_id"]): Contact(
            row["company_id"],
            row["person_id"],
            rows.register(row, CONTACT_FIELDS),
            row["organization_id"],
            row["published"],
        )
        for row in found
    }


async def save(conn: db.Connection, contacts: Iterable[Contact]) -> None:
    cells = [
        (
            c.company_id,
            c.person_id,
            *rows.cells(c.register, CONTACT_FIELDS),
            c.organization_id,
            c.published,
        )
        for c in contacts
    ]
    if cells:
        await conn.execute(UPSERT, *db.columns(cells, 11))


async def relink(
    conn: db.Connection, homes: Sequence[tuple[int, int, UUID | None]], *, now_us: int
) -> list[Move]:
    """Move the living contacts of records (tenant, Pipedrive id) to the records' organizations."""
    if not homes:
        return []
    found = await conn.fetch(RELINK, *db.columns(homes, 3), now_us)
    return [Move(*row) for row in found]


async def counted(
    conn: db.Connection, company_id: int, groups: Sequence[Collection[Record]]
) -> list[int]:
    """How many living contacts each group's records bring."""
    told = [
        (place, record.pipedrive_org_id)
        for place, records in enumerate(groups)
        for record in records
        if record.pipedrive_org_id is not None
    ]
    found = await conn.fetch(COUNTED, company_id, *db.columns(told, 2))
    counts = {row[0]: row[1] for row in found}
    return [counts.get(place, 0) for place in range(len(groups))]


async def theirs(conn: db.Connection, records: Collection[Record]) -> Theirs:
    """For records of one tenant."""
    numbers = [r.pipedrive_org_id for r in records if r.pipedrive_org_id is not None]
    if not numbers:
        return Theirs(0, None)
    company_id = next(iter(records)).company_id
    homes = [r.home for r in records if r.home is not None]
    [row] = await conn.fetch(THEIRS, company_id, homes, numbers)
    return Theirs(*row)
