"""SQL of the organizations. Every function takes the caller's connection; none commits."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import succession
from services.orgs.effects import OrgKey
from services.orgs.grouping import Shown
from shared import db

# Beside each row, the newest moment of its contacts, which may be tens of thousands, by one index
# step; and of its records, one step each.
LOAD = """
SELECT k.company_id, k.organization_id, o.name, o.pipedrive_org_id, o.industry, o.size, o.website,
       o.address, o.country, o.city, o.contact_count, o.last_activity, o.deleted, o.merged_into,
       o.published,
       greatest((SELECT c.last_moment
                   FROM contacts c
                  WHERE c.company_id = k.company_id AND c.organization_id = k.organization_id
                  ORDER BY c.last_moment DESC NULLS LAST
                  LIMIT 1),
                (SELECT max(told.moment)
                   FROM records r
                  CROSS JOIN LATERAL (
                        SELECT max(a.moment) AS moment
                          FROM activities a
                         WHERE a.company_id = r.company_id AND a.org_id = r.pipedrive_org_id
                           AND a.moment IS NOT NULL) AS told
                  WHERE r.company_id = k.company_id
                    AND r.organization_id = k.organization_id)) AS newest_moment
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
  LEFT JOIN organizations o
    ON o.company_id = k.company_id AND o.organization_id = k.organization_id
"""

UPSERT = """
INSERT INTO organizations (
       company_id, organization_id, name, pipedrive_org_id, industry, size, website, address,
       country, city, contact_count, last_activity, deleted, merged_into, published)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[],
              $7::text[], $8::text[], $9::text[], $10::text[], $11::int[], $12::timestamptz[],
              $13::boolean[], $14::uuid[], $15::bigint[])
    ON CONFLICT (company_id, organization_id) DO UPDATE
   SET name = EXCLUDED.name, pipedrive_org_id = EXCLUDED.pipedrive_org_id,
       industry = EXCLUDED.industry, size = EXCLUDED.size, website = EXCLUDED.website,
       address = EXCLUDED.address, country = EXCLUDED.country, city = EXCLUDED.city,
       contact_count = EXCLUDED.contact_count, last_activity = EXCLUDED.last_activity,
       deleted = EXCLUDED.deleted, merged_into = EXCLUDED.merged_into,
       published = EXCLUDED.published
"""

# Most changes are one contact more or less: a narrow update without indexed columns.
RECOUNT = """
UPDATE organizations o
   SET contact_count = k.contact_count, last_activity = k.last_activity, published = k.published
  FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::timestamptz[], $5::bigint[])
       AS k (company_id, organization_id, contact_count, last_activity, published)
 WHERE o.company_id = k.company_id AND o.organization_id = k.organization_id
"""

LIVING = """
SELECT company_id, organization_id, name, pipedrive_org_id, industry, size, website, address,
       country, city, contact_count, last_activity, deleted, merged_into, published
  FROM organizations
 WHERE company_id = $1 AND organization_id = $2 AND NOT deleted
"""

ROWS = """
SELECT o.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
  JOIN organizations o USING (company_id, organization_id)
"""

COUNTS = """
SELECT k.company_id, k.organization_id,
       (SELECT count(*)
          FROM records r
         WHERE r.company_id = k.company_id AND r.organization_id = k.organization_id
           AND NOT r.deleted) AS records
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
"""


class Organization(NamedTuple):
    """`deleted` once no record is left in it; `merged_into` is then where its id leads."""

    company_id: int
    organization_id: UUID
    shown: Shown
    contact_count: int = 0
    last_activity: datetime | None = None
    deleted: bool = False
    merged_into: UUID | None = None
    published: int = 0

    @property
    def key(self) -> OrgKey:
        return self.company_id, self.organization_id

    @property
    def is_over(self) -> bool:
        """Deleted, and its last contact has left."""
        return self.deleted and not self.contact_count


class Loaded(NamedTuple):
    """An organization's row, if any, and the current totals of its contacts and records."""

    row: Organization | None
    newest_moment: datetime | None


def _organization(row: Any) -> Organization:
    """From a row that begins as the table does."""
    return Organization(row[0], row[1], Shown._make(row[2:10]), *row[10:15])


async def load(conn: db.Connection, keys: Collection[OrgKey]) -> dict[OrgKey, Loaded]:
    """Has an entry for every key."""
    found = await conn.fetch(LOAD, *db.columns(list(keys), 2))
    return {
        (row["company_id"], row["organization_id"]): Loaded(
            None if row["published"] is None else _organization(row), row["newest_moment"]
        )
        for row in found
    }


async def rows(conn: db.Connection, keys: Collection[OrgKey]) -> list[Organization]:
    """Those that are stored."""
    return [_organization(row) for row in await conn.fetch(ROWS, *db.columns(list(keys), 2))]


async def save(conn: db.Connection, organizations: Iterable[Organization]) -> None:
    cells = [
        (
            o.company_id,
            o.organization_id,
            *o.shown,
            o.contact_count,
            o.last_activity,
            o.deleted,
            o.merged_into,
            o.published,
        )
        for o in organizations
    ]
    if cells:
        await conn.execute(UPSERT, *db.columns(cells, 15))


async def recount(conn: db.Connection, organizations: Iterable[Organization]) -> None:
    """Save rows of which only the contact count and last activity changed."""
    cells = [
        (o.company_id, o.organization_id, o.contact_count, o.last_activity, o.published)
        for o in organizations
    ]
    if cells:
        await conn.execute(RECOUNT, *db.columns(cells, 5))


async def by_any_id(
    conn: db.Connection, company_id: int, organization_id: UUID
) -> Organization | None:
    """The organization that a present or former id of one of its records leads to."""
    row = await conn.fetchrow(LIVING, company_id, organization_id)
    if row is None:
        key = (company_id, organization_id)
        successor = (await succession.of(conn, [key])).get(key)
        row = await conn.fetchrow(LIVING, company_id, successor) if successor else None
    return _organization(row) if row else None


async def records_in(conn: db.Connection, organizations: Collection[OrgKey]) -> dict[OrgKey, int]:
    """How many living records each organization has."""
    found = await conn.fetch(COUNTS, *db.columns(list(organizations), 2))
    return {(row[0], row[1]): row[2] for row in found}
