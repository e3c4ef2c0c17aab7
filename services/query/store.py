"""Read SQL of the API. Every function takes a connection, and reads one company only.

Rule 1: the number of statements for a page does not depend on how many rows it has.
Rule 2: rows before a page are skipped in an index, never read.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.cursor import Key
from services.query.paging import Bounds, Bucket, Place
from shared.db import Connection

NEWEST: Final = 5
"""Activities shown with a contact."""

# Each row also has the company's sync status, which every such page shows: fetched separately, it
# would cost another round trip.
COUNTS = """
SELECT own.not_in_campaign, own.score, own.contacts,
       status.state, status.last_sync_at, status.processed, status.failed
  FROM (SELECT $1::bigint AS company_id) AS asked
  LEFT JOIN user_counts AS own
    ON own.company_id = asked.company_id AND own.owner_id = $2 AND own.contacts > 0
  LEFT JOIN sync_status AS status
    ON status.company_id = asked.company_id
"""

COUNTS_IN_ORGANIZATION = """
SELECT not_in_campaign, score, count(*) AS contacts
  FROM contacts
 WHERE company_id = $1 AND owner_id = $2 AND listed AND organization_id = $3
 GROUP BY not_in_campaign, score
"""

# A merged organization is found under its survivor's id; one without records is not found.
LIVING_ORGANIZATION = """
WITH RECURSIVE chain AS (
    SELECT organization_id, deleted, merged_into
      FROM organizations
     WHERE company_id = $1 AND organization_id = $2
     UNION
    SELECT following.organization_id, following.deleted, following.merged_into
      FROM chain
      JOIN organizations AS following ON following.organization_id = chain.merged_into
     WHERE following.company_id = $1 AND chain.deleted
)
SELECT organization_id FROM chain WHERE NOT deleted
"""

# The two sides of the campaign are two ranges of one index, read one after the other: a single
# range over both sides could not start at a score. The score's lower bound is only in the row
# comparison, since the scan starts at the first condition on a column.
PAGE = """
WITH keys AS (
    (SELECT contact_id
       FROM contacts
      WHERE company_id = $1 AND owner_id = $2 AND listed AND NOT not_in_campaign AND $5
        AND score <= $3
        AND (score, contacted_key, created_key, contact_id) > ($6, $7, $8, $9)
      ORDER BY score, contacted_key, created_key, contact_id
      LIMIT $4)
    UNION ALL
    (SELECT contact_id
       FROM contacts
      WHERE company_id = $1 AND owner_id = $2 AND listed AND not_in_campaign AND $10
        AND score <= $3
        AND (score, contacted_key, created_key, contact_id) > ($11, $12, $13, $14)
      ORDER BY score, contacted_key, created_key, contact_id
      LIMIT $4)
    LIMIT $4
)
SELECT shown.*
  FROM keys
  JOIN shown_contacts AS shown USING (contact_id)
 ORDER BY not_in_campaign, score, contacted_key, created_key, contact_id
"""

PAGE_IN_ORGANIZATION = """
WITH keys AS (
    (SELECT contact_id
       FROM contacts
      WHERE company_id = $1 AND owner_id = $2 AND listed AND organization_id = $15
        AND NOT not_in_campaign AND $5
        AND score <= $3
        AND (score, contacted_key, created_key, contact_id) > ($6, $7, $8, $9)
      ORDER BY score, contacted_key, created_key, contact_id
      LIMIT $4)
    UNION ALL
    (SELECT contact_id
       FROM contacts
      WHERE company_id = $1 AND owner_id = $2 AND listed AND organization_id = $15
        AND not_in_campaign AND $10
        AND score <= $3
        AND (score, contacted_key, created_key, contact_id) > ($11, $12, $13, $14)
      ORDER BY score, contacted_key, created_key, contact_id
      LIMIT $4)
    LIMIT $4
)
SELECT shown.*
  FROM keys
  JOIN shown_contacts AS shown USING (contact_id)
 ORDER BY not_in_campaign, score, contacted_key, created_key, contact_id
"""

# The row at a place of a bucket, from the bucket's start or from its end.
SEEK = """
SELECT contacted_key, created_key, contact_id
  FROM contacts
 WHERE company_id = $1 AND owner_id = $2 AND listed AND not_in_campaign = $3 AND score = $4
 ORDER BY contacted_key, created_key, contact_id
OFFSET $5 LIMIT 1
"""

SEEK_BACKWARDS = """
SELECT contacted_key, created_key, contact_id
  FROM contacts
 WHERE company_id = $1 AND owner_id = $2 AND listed AND not_in_campaign = $3 AND score = $4
 ORDER BY contacted_key DESC, created_key DESC, contact_id DESC
OFFSET $5 LIMIT 1
"""

SEEK_IN_ORGANIZATION = """
SELECT contacted_key, created_key, contact_id
  FROM contacts
 WHERE company_id = $1 AND owner_id = $2 AND listed AND not_in_campaign = $3 AND score = $4
   AND organization_id = $6
 ORDER BY contacted_key, created_key, contact_id
OFFSET $5 LIMIT 1
"""

# A person's own activities and those of the persons merged into it, through chains; UNION ends
# cycles.
ACTIVITIES = """
WITH RECURSIVE member (contact, person_id) AS (
    SELECT person_id, person_id FROM unnest($2::bigint[]) AS shown (person_id)
     UNION
    SELECT member.contact, loser.person_id
      FROM member
      JOIN contacts AS loser
        ON loser.company_id = $1 AND loser.merged_into = member.person_id AND loser.deleted
), ranked AS (
    SELECT member.contact, own.*,
           row_number() OVER (PARTITION BY member.contact
                              ORDER BY own.add_time DESC NULLS LAST, own.activity_id DESC) AS place
      FROM member
     CROSS JOIN LATERAL (
           SELECT activity_id, type, subject, done, due_date, add_time
             FROM activities
            WHERE company_id = $1 AND person_id = member.person_id AND NOT deleted
            ORDER BY add_time DESC NULLS LAST, activity_id DESC
            LIMIT $3) AS own
)
SELECT contact, activity_id, type, subject, done, due_date, add_time
  FROM ranked
 WHERE place <= $3
 ORDER BY contact, place
"""

SYNC_STATUS = """
SELECT state, last_sync_at, processed, failed FROM sync_status WHERE company_id = $1
"""

CONTACT = """
SELECT * FROM shown_contacts WHERE contact_id = $1 AND company_id = $2 AND listed
"""


async def counts(conn: Connection, user: User) -> tuple[list[Bucket], asyncpg.Record | None]:
    """How many contacts the user has with each score, and the row of the sync's status."""
    rows = await conn.fetch(COUNTS, *user)
    buckets = [Bucket(*row[:3]) for row in rows if row["contacts"] is not None]
    return buckets, rows[0] if rows[0]["state"] is not None else None


async def counts_in_organization(
    conn: Connection, user: User, organization_id: UUID
) -> list[Bucket]:
    rows = await conn.fetch(COUNTS_IN_ORGANIZATION, *user, organization_id)
    return [Bucket(*row) for row in rows]


async def living_organization(
    conn: Connection, company_id: int, organization_id: UUID
) -> UUID | None:
    found: UUID | None = await conn.fetchval(LIVING_ORGANIZATION, company_id, organization_id)
    return found


async def key_at(conn: Connection, user: User, place: Place, organization_id: UUID | None) -> Key:
    """The key of the row at a place."""
    bucket = place.bucket
    arguments = (*user, bucket.not_in_campaign, bucket.score)
    if organization_id is not None:
        row = await conn.fetchrow(SEEK_IN_ORGANIZATION, *arguments, place.within, organization_id)
    elif place.is_in_the_first_half:
        row = await conn.fetchrow(SEEK, *arguments, place.within)
    else:
        from_end = bucket.contacts - 1 - place.within
        row = await conn.fetchrow(SEEK_BACKWARDS, *arguments, from_end)
    if row is None:
        raise AssertionError(f"a bucket of {bucket.contacts} has no row {place.within}")
    return Key(bucket.not_in_campaign, bucket.score, *row)


async def page(
    conn: Connection,
    user: User,
    ranges: tuple[Bounds, Bounds],
    *,
    most_score: int,
    limit: int,
    organization_id: UUID | None,
) -> list[asyncpg.Record]:
    arguments: tuple[Any, ...] = (*user, most_score, limit, *ranges[0], *ranges[1])
    if organization_id is None:
        return await conn.fetch(PAGE, *arguments)
    return await conn.fetch(PAGE_IN_ORGANIZATION, *arguments, organization_id)


async def activities(
    conn: Connection, company_id: int, persons: Sequence[int]
) -> list[asyncpg.Record]:
    return await conn.fetch(ACTIVITIES, company_id, persons, NEWEST)


async def sync_status(conn: Connection, company_id: int) -> asyncpg.Record | None:
    return await conn.fetchrow(SYNC_STATUS, company_id)


async def contact(conn: Connection, company_id: int, contact_id: UUID) -> asyncpg.Record | None:
    return await conn.fetchrow(CONTACT, contact_id, company_id)
