"""SQL of building an index from scratch. None of these functions commits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from services.query.batch import User
from services.query.searching import bitmaps
from services.query.searching.bitmaps import LOOSE, MOST_LOOSE
from services.query.searching.bits import CHUNK
from services.query.searching.terms import Kind, Term
from shared.db import Connection

LONGEST_S: Final = 600.0
"""Statement timeout while building."""

# What it locks meanwhile only another index build of the same user waits for.
PREPARE: Final = """
SELECT set_config('statement_timeout', '600s', true),
       set_config('idle_in_transaction_session_timeout', '60000', true),
       set_config('work_mem', '64MB', true)
"""

FORGET: Final = "DELETE FROM search_pending WHERE company_id = $1 AND owner_id = $2"

CONTACTS: Final = """
SELECT c.contact_id, c.name, c.email, c.phone, c.organization_id, o.name AS organization_name,
       c.not_in_campaign, c.score, c.contacted_key, c.created_key
  FROM contacts AS c
  LEFT JOIN organizations AS o
    ON o.company_id = $1 AND o.organization_id = c.organization_id AND NOT o.deleted
 WHERE c.company_id = $1 AND c.owner_id = $2 AND c.listed
 ORDER BY c.not_in_campaign, c.score, c.contacted_key, c.created_key, c.contact_id
"""

# Unindexed and unlogged: finding each chunk's place among all terms, or writing what will be
# joined anyway, would cost more than everything else.
GATHER: Final = """
CREATE TEMPORARY TABLE gathered_postings (
    word   text COLLATE "C" NOT NULL,
    kind   smallint NOT NULL,
    chunk  int NOT NULL,
    places int NOT NULL,
    slots  bytea NOT NULL,
    loose  bytea
) ON COMMIT DROP
"""

# The kinds below 3 are words.
COUNT_WORDS: Final = """
INSERT INTO search_words (company_id, owner_id, word, slot, contacts)
SELECT $1, $2, word, row_number() OVER (ORDER BY word) - 1, contacts
  FROM (SELECT word, sum(places) AS contacts
          FROM gathered_postings
         WHERE kind < 3
         GROUP BY word) AS counted
"""

# By term, so that all rows of a term are stored together.
ADD_POSTINGS: Final = """
INSERT INTO search_postings (company_id, owner_id, word, kind, chunk, slots)
SELECT $1::bigint, $2::bigint, word, $3::smallint, chunk, slots
  FROM (SELECT word, chunk, slots, sum(places) OVER (PARTITION BY word) AS total
          FROM gathered_postings
         WHERE kind = $3) AS gathered
 WHERE total > $4
 UNION ALL
SELECT $1, $2, word, $3, $5::int, string_agg(loose, '' ORDER BY chunk)
  FROM gathered_postings
 WHERE kind = $3
 GROUP BY word
HAVING sum(places) <= $4
 ORDER BY word, chunk
"""

WORDS: Final = """
SELECT word FROM search_words WHERE company_id = $1 AND owner_id = $2 ORDER BY slot
"""

# Below zero while unknown.
ROWS_KNOWN: Final = "SELECT reltuples FROM pg_class WHERE oid = 'search_slots'::regclass"

ANALYZE: Final = "ANALYZE search_slots, search_documents, search_postings, search_words"

BUILT: Final = """
UPDATE search_users
   SET is_built = true, next_slot = $3, next_word = $4
 WHERE company_id = $1 AND owner_id = $2
"""


async def prepare(conn: Connection) -> None:
    """For the rest of the transaction: statements, and pauses between them, may take long; and
    postings can be collected.
    """
    await conn.execute(PREPARE)
    await conn.execute(GATHER)


async def forget(conn: Connection, user: User) -> None:
    """Drop the queued entries: the build will read their changes."""
    await conn.execute(FORGET, *user, timeout=LONGEST_S)


async def add_slots(conn: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    await conn.copy_records_to_table("search_slots", records=rows)


async def add_documents(conn: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    await conn.copy_records_to_table("search_documents", records=rows)


async def gather_postings(
    conn: Connection, chunk: int, places: Mapping[Term, Sequence[int]]
) -> None:
    """Collect the terms of a chunk's contacts, or words."""
    rows = (
        (word, kind, chunk, len(found), bitmaps.packed(found), _loose(chunk, found))
        for (word, kind), found in places.items()
    )
    await conn.copy_records_to_table("gathered_postings", records=rows)


def _loose(chunk: int, places: Sequence[int]) -> bytes | None:
    """Null if they are too many for that."""
    if len(places) > MOST_LOOSE:
        return None
    return bitmaps.loose([chunk * CHUNK + place for place in places])


async def add_postings(conn: Connection, user: User, kind: Kind) -> None:
    """Of one kind, everything collected."""
    await conn.execute(ADD_POSTINGS, *user, kind, MOST_LOOSE, LOOSE, timeout=LONGEST_S)


async def add_names(conn: Connection, user: User, names: Mapping[UUID, str | None]) -> None:
    rows = [(*user, organization_id, name) for organization_id, name in names.items()]
    await conn.copy_records_to_table("search_organizations", records=rows)


async def count_words(conn: Connection, user: User) -> None:
    await conn.execute(COUNT_WORDS, *user, timeout=LONGEST_S)


async def analyze(conn: Connection, slots: int) -> None:
    """If a tenth of the slots or more are unknown to the planner: assuming that a user has a
    handful of rows, it scans all of them for each hit, until autovacuum gets to the table.
    """
    if await conn.fetchval(ROWS_KNOWN) < slots * 10:
        await conn.execute(ANALYZE, timeout=LONGEST_S)


async def built(conn: Connection, user: User, slots: int, words: int) -> None:
    await conn.execute(BUILT, *user, slots, words)
