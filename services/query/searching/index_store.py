"""SQL of the index, which the indexer alone writes, for one user at a time. None commits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.searching.postings import Chunk
from services.query.searching.terms import Document, bucket_of
from shared.db import Connection, columns

COUNTERS = """
SELECT next_slot, next_word
  FROM search_users
 WHERE company_id = $1 AND owner_id = $2 AND is_built
"""

SET_COUNTERS = """
UPDATE search_users SET next_slot = $3, next_word = $4 WHERE company_id = $1 AND owner_id = $2
"""

INDEXED = """
SELECT slot.contact_id, slot.slot, held.name, held.email, held.phone, held.organization_id,
       held.bucket,
       slot.not_in_campaign, slot.score, slot.contacted_key, slot.created_key
  FROM unnest($3::uuid[]) AS wanted (contact_id)
  JOIN search_slots AS slot
    ON slot.company_id = $1 AND slot.owner_id = $2 AND slot.contact_id = wanted.contact_id
  JOIN search_documents AS held
    ON held.company_id = $1 AND held.owner_id = $2 AND held.slot = slot.slot
"""

CONTACTS = """
SELECT contact_id, name, email, phone, organization_id,
       not_in_campaign, score, contacted_key, created_key
  FROM contacts
 WHERE contact_id = ANY($3::uuid[]) AND company_id = $1 AND owner_id = $2 AND listed
"""

NAMES = """
SELECT organization_id, name
  FROM search_organizations
 WHERE company_id = $1 AND owner_id = $2 AND organization_id = ANY($3::uuid[])
"""

CURRENT_NAMES = """
SELECT organization_id, name
  FROM organizations
 WHERE company_id = $1 AND organization_id = ANY($2::uuid[]) AND NOT deleted
"""

SET_NAMES = """
INSERT INTO search_organizations AS held
SELECT $1, $2, * FROM unnest($3::uuid[], $4::text[])
    ON CONFLICT (company_id, owner_id, organization_id) DO UPDATE SET name = EXCLUDED.name
"""

FREE_SLOTS = """
DELETE FROM search_free_slots
 WHERE company_id = $1 AND owner_id = $2 AND slot IN (
       SELECT slot FROM search_free_slots
        WHERE company_id = $1 AND owner_id = $2
        ORDER BY slot
        LIMIT $3)
RETURNING slot
"""

ADD_SLOTS = """
INSERT INTO search_slots
SELECT $1, $2, * FROM unnest($3::int[], $4::uuid[], $5::boolean[], $6::smallint[], $7::bigint[],
                             $8::bigint[])
"""

SET_DOCUMENTS = """
INSERT INTO search_documents
SELECT $1, $2, *
  FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::smallint[])
    ON CONFLICT (company_id, owner_id, slot) DO UPDATE
   SET name = EXCLUDED.name, email = EXCLUDED.email, phone = EXCLUDED.phone,
       organization_id = EXCLUDED.organization_id
"""

DROP_SLOTS = """
WITH gone AS (
    DELETE FROM search_slots
     WHERE company_id = $1 AND owner_id = $2 AND slot = ANY($3::int[])
    RETURNING slot
), documents AS (
    DELETE FROM search_documents
     WHERE company_id = $1 AND owner_id = $2 AND slot = ANY($3::int[])
)
INSERT INTO search_free_slots SELECT $1, $2, slot FROM gone
"""

# A slot's place in the list, as it is while its person is locked.
REFRESH_SLOTS = """
WITH refreshed AS (
    UPDATE search_slots AS slot
       SET not_in_campaign = c.not_in_campaign, score = c.score,
           contacted_key = c.contacted_key, created_key = c.created_key
      FROM contacts AS c
     WHERE c.contact_id = ANY($3::uuid[]) AND c.company_id = $1 AND c.owner_id = $2 AND c.listed
       AND slot.company_id = $1 AND slot.owner_id = $2 AND slot.contact_id = c.contact_id
    RETURNING slot.slot
)
INSERT INTO search_moved (company_id, owner_id, slot) SELECT $1, $2, slot FROM refreshed
"""

BUCKETS = """
SELECT slot, held.bucket, place.not_in_campaign, place.score
  FROM search_documents AS held
  JOIN search_slots AS place USING (company_id, owner_id, slot)
 WHERE held.company_id = $1 AND held.owner_id = $2 AND held.slot = ANY($3::int[])
"""

SET_BUCKETS = """
UPDATE search_documents AS held
   SET bucket = moved.bucket
  FROM unnest($3::int[], $4::smallint[]) AS moved (slot, bucket)
 WHERE held.company_id = $1 AND held.owner_id = $2 AND held.slot = moved.slot
"""

PERSONS = "SELECT person_id FROM contacts WHERE contact_id = ANY($2::uuid[]) AND company_id = $1"

# One index lookup for each, whatever the planner assumes about the table: a join might read all of
# the user's rows.
POSTINGS = """
SELECT word, kind, chunk, held.slots
  FROM unnest($3::text[], $4::smallint[], $5::int[]) AS wanted (word, kind, chunk)
 CROSS JOIN LATERAL (
       SELECT slots
         FROM search_postings AS p
        WHERE p.company_id = $1 AND p.owner_id = $2 AND p.word = wanted.word
          AND p.kind = wanted.kind AND p.chunk = wanted.chunk
       OFFSET 0) AS held
"""

ALL_CHUNKS = """
SELECT chunk, slots
  FROM search_postings
 WHERE company_id = $1 AND owner_id = $2 AND word = $3 AND kind = $4
"""

SET_POSTINGS = """
INSERT INTO search_postings AS held
SELECT $1, $2, * FROM unnest($3::text[], $4::smallint[], $5::int[], $6::bytea[])
    ON CONFLICT (company_id, owner_id, word, kind, chunk) DO UPDATE SET slots = EXCLUDED.slots
"""

DROP_POSTINGS = """
DELETE FROM search_postings AS held
 USING unnest($3::text[], $4::smallint[], $5::int[]) AS gone (word, kind, chunk)
 WHERE held.company_id = $1 AND held.owner_id = $2 AND held.word = gone.word
   AND held.kind = gone.kind AND held.chunk = gone.chunk
"""

KNOWN_WORDS = """
SELECT word
  FROM search_words
 WHERE company_id = $1 AND owner_id = $2 AND word = ANY($3::text[])
"""

COUNT_WORDS = """
INSERT INTO search_words AS held
SELECT $1, $2, * FROM unnest($3::text[], $4::int[], $5::int[])
    ON CONFLICT (company_id, owner_id, word) DO UPDATE
   SET contacts = held.contacts + EXCLUDED.contacts
"""


class Place(NamedTuple):
    """A contact's place in the list."""

    not_in_campaign: bool
    score: int
    contacted_key: int
    created_key: int


class Indexed(NamedTuple):
    slot: int
    document: Document
    place: Place
    bucket: int
    """As indexed; `place` may be newer."""


class Current(NamedTuple):
    document: Document
    place: Place

    @property
    def bucket(self) -> int:
        return bucket_of(not_in_campaign=self.place.not_in_campaign, score=self.place.score)


class Counters(NamedTuple):
    next_slot: int
    next_word: int


def _document(row: asyncpg.Record) -> Document:
    return Document(row["name"], row["email"], row["phone"], row["organization_id"])


def _place(row: asyncpg.Record) -> Place:
    return Place(row["not_in_campaign"], row["score"], row["contacted_key"], row["created_key"])


async def counters(conn: Connection, user: User) -> Counters | None:
    """Null if the user has no index."""
    row = await conn.fetchrow(COUNTERS, *user)
    return None if row is None else Counters(*row)


async def set_counters(conn: Connection, user: User, moved: Counters) -> None:
    await conn.execute(SET_COUNTERS, *user, *moved)


async def indexed(conn: Connection, user: User, contacts: Sequence[UUID]) -> dict[UUID, Indexed]:
    rows = await conn.fetch(INDEXED, *user, contacts)
    return {
        r["contact_id"]: Indexed(r["slot"], _document(r), _place(r), r["bucket"]) for r in rows
    }


async def current(conn: Connection, user: User, contacts: Sequence[UUID]) -> dict[UUID, Current]:
    """The contacts that are on the user's list."""
    rows = await conn.fetch(CONTACTS, *user, contacts)
    return {row["contact_id"]: Current(_document(row), _place(row)) for row in rows}


async def names(
    conn: Connection, user: User, organizations: Sequence[UUID]
) -> dict[UUID, str | None]:
    """The names under which organizations are indexed."""
    if not organizations:
        return {}
    rows = await conn.fetch(NAMES, *user, organizations)
    return {row["organization_id"]: row["name"] for row in rows}


async def current_names(
    conn: Connection, company_id: int, organizations: Sequence[UUID]
) -> dict[UUID, str | None]:
    """Null for those that no longer exist."""
    found: dict[UUID, str | None] = dict.fromkeys(organizations)
    if organizations:
        rows = await conn.fetch(CURRENT_NAMES, company_id, organizations)
        found.update({row["organization_id"]: row["name"] for row in rows})
    return found


async def set_names(conn: Connection, user: User, named: Mapping[UUID, str | None]) -> None:
    if named:
        await conn.execute(SET_NAMES, *user, list(named), list(named.values()))


async def free_slots(conn: Connection, user: User, most: int) -> list[int]:
    """Slots that were freed; they become the caller's."""
    return sorted(row["slot"] for row in await conn.fetch(FREE_SLOTS, *user, most))


async def add_slots(conn: Connection, user: User, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await conn.execute(ADD_SLOTS, *user, *columns(rows, 6))


async def set_documents(
    conn: Connection, user: User, documents: Sequence[tuple[int, Document, int]]
) -> None:
    """For each slot its text, and its bucket where the slot is new."""
    if documents:
        rows = [(slot, *document, bucket) for slot, document, bucket in documents]
        await conn.execute(SET_DOCUMENTS, *user, *columns(rows, 6))


async def drop_slots(conn: Connection, user: User, slots: Sequence[int]) -> None:
    if slots:
        await conn.execute(DROP_SLOTS, *user, slots)


async def refresh_slots(conn: Connection, user: User, contacts: Sequence[UUID]) -> None:
    await conn.execute(REFRESH_SLOTS, *user, contacts)


async def buckets(
    conn: Connection, user: User, slots: Sequence[int]
) -> list[tuple[int, int, int]]:
    """For each slot the bucket it is indexed under, and its present one."""
    return [
        (row[0], row[1], bucket_of(not_in_campaign=row[2], score=row[3]))
        for row in await conn.fetch(BUCKETS, *user, slots)
    ]


async def set_buckets(conn: Connection, user: User, rows: Sequence[tuple[int, int]]) -> None:
    if rows:
        await conn.execute(SET_BUCKETS, *user, *columns(rows, 2))


async def persons(conn: Connection, company_id: int, contacts: Sequence[UUID]) -> list[int]:
    return [row["person_id"] for row in await conn.fetch(PERSONS, company_id, contacts)]


async def postings(conn: Connection, user: User, wanted: Sequence[Chunk]) -> dict[Chunk, bytes]:
    rows = await conn.fetch(POSTINGS, *user, *columns(wanted, 3))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def all_chunks(
    conn: Connection, user: User, word: str, kind: int
) -> list[tuple[int, bytes]]:
    """Every row of a term."""
    return [(row[0], row[1]) for row in await conn.fetch(ALL_CHUNKS, *user, word, kind)]


async def set_postings(conn: Connection, user: User, chunks: Mapping[Chunk, bytes]) -> None:
    """Rows without slots are deleted."""
    kept = [(*chunk, slots) for chunk, slots in sorted(chunks.items()) if slots]
    if kept:
        await conn.execute(SET_POSTINGS, *user, *columns(kept, 4))
    empty = sorted(chunk for chunk, slots in chunks.items() if not slots)
    if empty:
        await conn.execute(DROP_POSTINGS, *user, *columns(empty, 3))


async def known_words(conn: Connection, user: User, words: Sequence[str]) -> set[str]:
    return {row["word"] for row in await conn.fetch(KNOWN_WORDS, *user, words)}


async def count_words(conn: Connection, user: User, rows: Sequence[tuple[str, int, int]]) -> None:
    """For each word its slot, if it is new, and the change in its number of contacts."""
    if rows:
        await conn.execute(COUNT_WORDS, *user, *columns(rows, 3))
