"""SQL that turns slots into contacts in order, and counts them. One user's only.

Rule: nothing here reads an unbounded number of rows; the caller chooses the method by how many
      slots there are.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.request import Filters
from services.query.searching.lookup_store import ListKey
from shared.db import Connection, array

# $5, $6: bounds of the score; $7: the side of the campaign, null for both.
RANKED: Final = """
SELECT hit.rank, hit.slot, held.not_in_campaign, held.score, held.contacted_key,
       held.created_key, held.contact_id
  FROM unnest($3::text::int[], $4::text::smallint[]) AS hit (slot, rank)
  JOIN search_slots AS held
    ON held.company_id = $1 AND held.owner_id = $2 AND held.slot = hit.slot
 WHERE held.score BETWEEN $5 AND $6 AND held.not_in_campaign IS DISTINCT FROM $7::boolean
 ORDER BY hit.rank, held.not_in_campaign, held.score, held.contacted_key, held.created_key,
          held.contact_id
 LIMIT $8
"""

PLACED: Final = """
SELECT contact_id, not_in_campaign, score, contacted_key, created_key
  FROM search_slots
 WHERE company_id = $1 AND owner_id = $2 AND slot = ANY($3::text::int[])
   AND score BETWEEN $4 AND $5 AND not_in_campaign IS DISTINCT FROM $6::boolean
 ORDER BY not_in_campaign, score, contacted_key, created_key, contact_id
 LIMIT $7
"""

# The list in its order, up to $7 rows of it, and which of them are among the slots.
WALKED: Final = """
WITH walked AS MATERIALIZED (
    (SELECT contact_id, not_in_campaign, score, contacted_key, created_key
       FROM contacts
      WHERE company_id = $1 AND owner_id = $2 AND listed AND NOT not_in_campaign
        AND score BETWEEN $4 AND $5 AND $6::boolean IS DISTINCT FROM false
      ORDER BY score, contacted_key, created_key, contact_id
      LIMIT $7)
    UNION ALL
    (SELECT contact_id, not_in_campaign, score, contacted_key, created_key
       FROM contacts
      WHERE company_id = $1 AND owner_id = $2 AND listed AND not_in_campaign
        AND score BETWEEN $4 AND $5 AND $6::boolean IS DISTINCT FROM true
      ORDER BY score, contacted_key, created_key, contact_id
      LIMIT $7)
    LIMIT $7
)
SELECT slot.slot, walked.*
  FROM walked
  JOIN search_slots AS slot
    ON slot.company_id = $1 AND slot.owner_id = $2 AND slot.contact_id = walked.contact_id
 WHERE get_bit($3::bytea, slot.slot) = 1
"""

# Every slot, where the list's beginning has too few of them.
SCANNED: Final = """
SELECT slot, contact_id, not_in_campaign, score, contacted_key, created_key
  FROM search_slots
 WHERE company_id = $1 AND owner_id = $2 AND get_bit($3::bytea, slot) = 1
   AND score BETWEEN $4 AND $5 AND not_in_campaign IS DISTINCT FROM $6::boolean
 ORDER BY not_in_campaign, score, contacted_key, created_key, contact_id
 LIMIT $7
"""

# Cancelled before work piles up; and by key, whatever a plan expects of unknown arrays.
PREPARE: Final = """
SELECT set_config('statement_timeout', $1, true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true)
"""

FACETS: Final = """
SELECT count(*) FILTER (WHERE score <= 3) AS cold,
       count(*) FILTER (WHERE score BETWEEN 4 AND 6) AS lukewarm,
       count(*) FILTER (WHERE score >= 7) AS warm,
       count(*) FILTER (WHERE NOT not_in_campaign) AS in_campaign,
       count(*) FILTER (WHERE not_in_campaign) AS out_of_campaign
  FROM search_slots
 WHERE company_id = $1 AND owner_id = $2 AND slot = ANY($3::text::int[])
   AND score BETWEEN $4 AND $5 AND not_in_campaign IS DISTINCT FROM $6::boolean
"""

# Each hit by its keys: a plan that expects few of them may otherwise begin with all organizations.
ORGANIZATIONS: Final = """
SELECT found.organization_id, o.name, found.contacts
  FROM (SELECT document.organization_id, count(*) AS contacts
          FROM unnest($3::text::int[]) AS hit (slot)
         CROSS JOIN LATERAL (
               SELECT score, not_in_campaign
                 FROM search_slots
                WHERE company_id = $1 AND owner_id = $2 AND slot = hit.slot
               OFFSET 0) AS held
         CROSS JOIN LATERAL (
               SELECT organization_id
                 FROM search_documents
                WHERE company_id = $1 AND owner_id = $2 AND slot = hit.slot
               OFFSET 0) AS document
         WHERE held.score BETWEEN $4 AND $5 AND held.not_in_campaign IS DISTINCT FROM $6::boolean
           AND document.organization_id IS NOT NULL
         GROUP BY document.organization_id) AS found
 CROSS JOIN LATERAL (
       SELECT name
         FROM organizations
        WHERE company_id = $1 AND organization_id = found.organization_id AND NOT deleted
       OFFSET 0) AS o
 ORDER BY found.contacts DESC, coalesce(o.name, '') COLLATE "C", found.organization_id
 LIMIT $7
"""

# Each by its key: a plan that expects a user with few contacts reads all of them instead.
SHOWN: Final = """
SELECT shown.*
  FROM unnest($3::uuid[]) AS hit (contact_id)
 CROSS JOIN LATERAL (
       SELECT *
         FROM shown_contacts
        WHERE contact_id = hit.contact_id AND company_id = $1 AND owner_id = $2 AND listed
       OFFSET 0) AS shown
"""


class Hit(NamedTuple):
    """Sorts in display order."""

    rank: int
    place: ListKey


class Filtered(NamedTuple):
    low: int
    high: int
    other_side: bool | None
    """The value of `not_in_campaign` to exclude."""


def filtered(filters: Filters) -> Filtered:
    return Filtered(*filters.scores, filters.in_campaign)


def passes(place: ListKey, filters: Filters) -> bool:
    low, high = filters.scores
    return low <= place.score <= high and filters.in_campaign is not place.not_in_campaign


def _place(row: asyncpg.Record) -> ListKey:
    return ListKey(
        row["not_in_campaign"],
        row["score"],
        row["contacted_key"],
        row["created_key"],
        UUID(bytes=row["contact_id"].bytes),
    )


async def prepare(conn: Connection, *, longest_ms: int) -> None:
    """For the rest of the transaction: a statement that runs longer is cancelled."""
    await conn.execute(PREPARE, str(longest_ms))


async def ranked(
    conn: Connection,
    user: User,
    slots: tuple[Sequence[int], Sequence[int]],
    filters: Filters,
    most: int,
) -> list[Hit]:
    """The first of some slots, each of which has a rank."""
    rows = await conn.fetch(RANKED, *user, *map(array, slots), *filtered(filters), most)
    return [Hit(row["rank"], _place(row)) for row in rows]


async def placed(
    conn: Connection, user: User, slots: Sequence[int], filters: Filters, most: int
) -> list[ListKey]:
    """The first of some slots."""
    found = await conn.fetch(PLACED, *user, array(slots), *filtered(filters), most)
    return [_place(row) for row in found]


async def walked(
    conn: Connection, user: User, packed: bytes, filters: Filters, rows: int
) -> list[ListKey]:
    """Those of the slots that are within the first `rows` rows of the list."""
    found = await conn.fetch(WALKED, *user, packed, *filters.scores, filters.in_campaign, rows)
    return sorted(_place(row) for row in found)


async def scanned(
    conn: Connection, user: User, packed: bytes, filters: Filters, most: int
) -> list[ListKey]:
    found = await conn.fetch(SCANNED, *user, packed, *filtered(filters), most)
    return [_place(row) for row in found]


async def facets(
    conn: Connection, user: User, slots: Sequence[int], filters: Filters
) -> asyncpg.Record:
    rows = await conn.fetch(FACETS, *user, array(slots), *filtered(filters))
    return rows[0]


async def organizations(
    conn: Connection, user: User, slots: Sequence[int], filters: Filters, most: int
) -> list[asyncpg.Record]:
    return await conn.fetch(ORGANIZATIONS, *user, array(slots), *filtered(filters), most)


async def shown(
    conn: Connection, user: User, contacts: Sequence[UUID]
) -> dict[UUID, asyncpg.Record]:
    rows = await conn.fetch(SHOWN, *user, contacts)
    return {UUID(bytes=row["contact_id"].bytes): row for row in rows}
