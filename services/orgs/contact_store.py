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

AT_ONCE = 1_000
"""Most contacts that follow their records in one transaction."""
RECORDS_AT_ONCE = 100

# The nil UUID stands for no organization, as in the index, in which contacts that are not where
# they belong are two ranges.
RELINK = """
WITH records AS (
    SELECT *, coalesce(home, '00000000-0000-0000-0000-000000000000') AS place
      FROM unnest($1::bigint[], $2::bigint[], $3::uuid[]) AS k (company_id, org_id, home)),
following AS MATERIALIZED (
    SELECT own.company_id, own.person_id, records.home
      FROM records
     CROSS JOIN LATERAL (
           (SELECT company_id, person_id
              FROM contacts
             WHERE company_id = records.company_id AND org_id = records.org_id AND NOT deleted
               AND coalesce(organization_id, '00000000-0000-0000-0000-000000000000')
                   < records.place
             LIMIT $5)
            UNION ALL
           (SELECT company_id, person_id
              FROM contacts
             WHERE company_id = records.company_id AND org_id = records.org_id AND NOT deleted
               AND coalesce(organization_id, '00000000-0000-0000-0000-000000000000')
                   > records.place
             LIMIT $5)) AS own
     LIMIT $5)
UPDATE contacts c
   SET organization_id = following.home, published = greatest(c.published + 1, $4)
  FROM following
 WHERE c.company_id = following.company_id AND c.person_id = following.person_id
RETURNING c.company_id, c.person_id, old.organization_id AS left_id, new.organization_id AS
          joined_id, c.published
"""

RELINK_LATER = """
INSERT INTO relinking (company_id, pipedrive_org_id)
SELECT *
  FROM unnest($1::bigint[], $2::bigint[])
    ON CONFLICT DO NOTHING
"""

COMPANY_TO_RELINK = """
SELECT company_id
  FROM relinking
 ORDER BY company_id <= $1, company_id
 LIMIT 1
"""

TO_RELINK = """
SELECT k.company_id, k.pipedrive_org_id, r.organization_id
  FROM relinking k
  LEFT JOIN records r
    ON r.company_id = k.company_id AND r.pipedrive_org_id = k.pipedrive_org_id
 WHERE k.company_id = $1
 ORDER BY k.pipedrive_org_id
 LIMIT $2
"""

RELINKED = """
DELETE FROM relinking r
 USING unnest($1::bigint[], $2::bigint[]) AS k (company_id, pipedrive_org_id)
 WHERE r.company_id = k.company_id AND r.pipedrive_org_id = k.pipedrive_org_id
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
       (SELECT max(own.moment) AS newest
          FROM records r
         CROSS JOIN LATERAL (
               SELECT max(a.moment) AS moment
                 FROM activities a
                WHERE a.company_id = r.company_id AND a.org_id = r.pipedrive_org_id
                  AND a.moment IS NOT NULL) AS own
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


class Home(NamedTuple):
    """The organization of a record, and of whatever names it by its Pipedrive id (`number`)."""

    company_id: int
    number: int
    organization_id: UUID | None


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


async def relink(conn: db.Connection, homes: Sequence[Home], *, now_us: int) -> list[Move]:
    """Move the living contacts of records to where these belong, `AT_ONCE` at most."""
    if not homes:
        return []
    found = await conn.fetch(RELINK, *db.columns(homes, 3), now_us, AT_ONCE)
    return [Move(*row) for row in found]


async def relink_later(conn: db.Connection, homes: Sequence[Home]) -> None:
    """Record that some contacts of the records have yet to follow them."""
    await conn.execute(RELINK_LATER, *db.columns([home[:2] for home in homes], 2))


async def company_to_relink(conn: db.Connection | db.Pool, behind: int | None) -> int | None:
    """The next company after `behind` with contacts that have yet to follow."""
    found: int | None = await conn.fetchval(COMPANY_TO_RELINK, -1 if behind is None else behind)
    return found


async def to_relink(conn: db.Connection, company_id: int) -> list[Home]:
    """Records that contacts have yet to follow, and where they belong now."""
    return [Home(*row) for row in await conn.fetch(TO_RELINK, company_id, RECORDS_AT_ONCE)]


async def relinked(conn: db.Connection, homes: Sequence[Home]) -> None:
    await conn.execute(RELINKED, *db.columns([home[:2] for home in homes], 2))


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
