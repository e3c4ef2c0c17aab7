"""Read SQL of a user's organizations. Every function takes a connection, and reads one user's.

Rule 1: the list is read from the index that has its order; rows before a page are skipped in the
        index, from the nearer end.
Rule 2: part of a name is searched in that index alone, up to the end of the page; if there is
        more, another pass counts all hits, which is cheaper than collecting them. The index holds
        the folded names of one user's organizations, a few megabytes at 50,000.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.cursor import OrganizationKey
from services.query.paging import LOWEST, NOBODY
from shared.db import Connection

START: Final = OrganizationKey(LOWEST, "", NOBODY)

TOTAL = """
SELECT organizations FROM user_totals WHERE company_id = $1 AND owner_id = $2
"""

# OFFSET 0 keeps the planner from reading all organizations to join them in another way.
PAGE = """
WITH keys AS MATERIALIZED (
    SELECT fewest, sort_name, organization_id
      FROM user_organizations
     WHERE company_id = $1 AND owner_id = $2 AND contacts > 0 AND living
       AND (fewest, sort_name, organization_id) > ($3, $4, $5)
     ORDER BY fewest, sort_name, organization_id
     LIMIT $6
)
SELECT o.organization_id, o.name AS organization_name, o.pipedrive_org_id, o.industry, o.size,
       o.website, o.address, o.country, o.city, o.contact_count, o.last_activity,
       share.contacts, keys.fewest, keys.sort_name
  FROM keys
 CROSS JOIN LATERAL (
       SELECT contacts
         FROM user_organizations
        WHERE company_id = $1 AND organization_id = keys.organization_id AND owner_id = $2
       OFFSET 0) AS share
  JOIN organizations AS o ON o.company_id = $1 AND o.organization_id = keys.organization_id
 ORDER BY keys.fewest, keys.sort_name, keys.organization_id
"""

TOP = """
WITH keys AS MATERIALIZED (
    SELECT contacts, organization_id
      FROM user_organizations
     WHERE company_id = $1 AND owner_id = $2 AND contacts > 0 AND living
     ORDER BY contacts DESC, organization_id
     LIMIT $3
)
SELECT keys.organization_id, o.name AS organization_name, keys.contacts
  FROM keys
 CROSS JOIN LATERAL (
       SELECT name
         FROM organizations
        WHERE company_id = $1 AND organization_id = keys.organization_id
       OFFSET 0) AS o
 ORDER BY keys.contacts DESC, keys.organization_id
"""

SEEK = """
SELECT fewest, sort_name, organization_id
  FROM user_organizations
 WHERE company_id = $1 AND owner_id = $2 AND contacts > 0 AND living
 ORDER BY fewest, sort_name, organization_id
OFFSET $3 LIMIT 1
"""

SEEK_BACKWARDS = """
SELECT fewest, sort_name, organization_id
  FROM user_organizations
 WHERE company_id = $1 AND owner_id = $2 AND contacts > 0 AND living
 ORDER BY fewest DESC, sort_name DESC, organization_id DESC
OFFSET $3 LIMIT 1
"""

# The text is folded once, in a subquery of its own: within the condition it would be folded for
# each name.
SEARCH = """
SELECT organization_id
  FROM user_organizations
 WHERE company_id = $1 AND owner_id = $2 AND contacts > 0 AND living
   AND strpos(sort_name, (SELECT folded($3))) > 0
   AND (fewest, sort_name, organization_id) > ($4, $5, $6)
 ORDER BY fewest, sort_name, organization_id
OFFSET $7 LIMIT $8
"""

# The order makes the planner take the index that holds the names.
COUNT = """
SELECT count(*)
  FROM (SELECT
          FROM user_organizations
         WHERE company_id = $1 AND owner_id = $2 AND contacts > 0 AND living
           AND strpos(sort_name, (SELECT folded($3))) > 0
         ORDER BY fewest, sort_name, organization_id) AS hits
"""

NAMED = """
SELECT o.organization_id, o.name AS organization_name, o.pipedrive_org_id, o.industry, o.size,
       o.website, o.address, o.country, o.city, o.contact_count, o.last_activity,
       share.contacts, share.fewest, share.sort_name
  FROM unnest($3::uuid[]) WITH ORDINALITY AS named (organization_id, place)
  JOIN user_organizations AS share
    ON share.company_id = $1 AND share.owner_id = $2
   AND share.organization_id = named.organization_id
  JOIN organizations AS o
    ON o.company_id = $1 AND o.organization_id = named.organization_id
 ORDER BY named.place
"""


class Hits(NamedTuple):
    """How many there are, and the requested ones, in order."""

    total: int
    wanted: Sequence[UUID]


class Slice(NamedTuple):
    """`limit` hits, of those that follow the key, after skipping some."""

    after: OrganizationKey
    passed: int
    limit: int


async def total(conn: Connection, user: User) -> int:
    found: int | None = await conn.fetchval(TOTAL, *user)
    return found or 0


async def page(
    conn: Connection, user: User, after: OrganizationKey, *, limit: int
) -> list[asyncpg.Record]:
    return await conn.fetch(PAGE, *user, *after, limit)


async def top(conn: Connection, user: User, *, limit: int) -> list[asyncpg.Record]:
    """Those with most of the user's own contacts."""
    return await conn.fetch(TOP, *user, limit)


async def key_at(conn: Connection, user: User, place: int, total: int) -> OrganizationKey:
    """The key of the organization that comes after `place` others."""
    if place <= total // 2:
        row = await conn.fetchrow(SEEK, *user, place)
    else:
        row = await conn.fetchrow(SEEK_BACKWARDS, *user, total - 1 - place)
    if row is None:
        raise AssertionError(f"of {total} organizations there is none at {place}")
    return key_of(row)


def key_of(row: Any) -> OrganizationKey:
    organization_id = UUID(bytes=row["organization_id"].bytes)
    return OrganizationKey(row["fewest"], row["sort_name"], organization_id)


async def search(conn: Connection, user: User, text: str, part: Slice) -> Hits:
    rows = await conn.fetch(SEARCH, *user, text, *part.after, part.passed, part.limit)
    wanted = [row["organization_id"] for row in rows]
    if part.after == START and len(wanted) < part.limit and (wanted or not part.passed):
        return Hits(part.passed + len(wanted), wanted)
    return Hits(await conn.fetchval(COUNT, *user, text), wanted)


async def named(
    conn: Connection, user: User, organizations: Sequence[UUID]
) -> list[asyncpg.Record]:
    """In the given order."""
    return await conn.fetch(NAMED, *user, organizations)
