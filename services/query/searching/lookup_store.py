"""SQL with which a search reads the index. Every function reads one user's index only."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.searching.bitmaps import DENSE_BYTES, Piece
from services.query.searching.terms import Document
from shared.db import Connection, array, columns

# Each list has the newest entries, including duplicates.
STATE: Final = """
SELECT next_slot, next_word,
       ARRAY(SELECT contact_id
               FROM search_pending
              WHERE company_id = $1 AND owner_id = $2 AND contact_id IS NOT NULL
              ORDER BY seq DESC
              LIMIT $3) AS contacts,
       ARRAY(SELECT organization_id
               FROM search_pending
              WHERE company_id = $1 AND owner_id = $2 AND organization_id IS NOT NULL
              ORDER BY seq DESC
              LIMIT $4) AS organizations,
       ARRAY(SELECT slot
               FROM search_moved
              WHERE company_id = $1 AND owner_id = $2
              ORDER BY seq DESC
              LIMIT $5) AS moved
  FROM search_users
 WHERE company_id = $1 AND owner_id = $2 AND is_built
"""

# If there are too many, the most frequent ones.
BEGINNING: Final = """
SELECT asked.beginning, found.word
  FROM unnest($3::text[]) AS asked (beginning)
 CROSS JOIN LATERAL (
       SELECT word
         FROM search_words
        WHERE company_id = $1 AND owner_id = $2
          AND word > asked.beginning COLLATE "C"
          AND word < (asked.beginning || '{') COLLATE "C"
          AND contacts > 0
        ORDER BY contacts DESC
        LIMIT $4) AS found
"""

# A group's words are joined chunk by chunk before they are sent: a thousand words with a common
# beginning have thousands of chunks of a few slots.
POSTINGS: Final = """
SELECT wanted.number, held.kind, held.chunk, length(held.slots) = $7 AS is_dense,
       string_agg(held.slots, '') AS slots
  FROM unnest($3::text::int[], $4::text[], $5::text::smallint[], $6::text::smallint[])
       AS wanted (number, word, first, last)
  JOIN search_postings AS held
    ON held.company_id = $1 AND held.owner_id = $2 AND held.word = wanted.word
   AND held.kind BETWEEN wanted.first AND wanted.last
 GROUP BY wanted.number, held.kind, held.chunk, is_dense
"""

# From the index alone: counting the contacts of each would read thousands of rows.
WORDS: Final = """
SELECT word
  FROM search_words
 WHERE company_id = $1 AND owner_id = $2 AND slot = ANY($3::text::int[])
"""

FREQUENT_WORDS: Final = f"{WORDS} ORDER BY contacts DESC"

PHONES: Final = """
SELECT slot, phone
  FROM search_documents
 WHERE company_id = $1 AND owner_id = $2 AND slot = ANY($3::text::int[])
"""

DOCUMENTS: Final = """
SELECT held.slot, held.name, held.email, held.phone, held.organization_id,
       o.name AS organization_name
  FROM search_documents AS held
  LEFT JOIN organizations AS o
    ON o.company_id = $1 AND o.organization_id = held.organization_id AND NOT o.deleted
 WHERE held.company_id = $1 AND held.owner_id = $2 AND held.slot = ANY($3::text::int[])
"""

PENDING: Final = """
SELECT queued.contact_id, slot.slot, c.contact_id IS NOT NULL AS listed,
       c.name, c.email, c.phone, o.organization_id, o.name AS organization_name,
       c.not_in_campaign, c.score, c.contacted_key, c.created_key
  FROM unnest($3::uuid[]) AS queued (contact_id)
  LEFT JOIN search_slots AS slot
    ON slot.company_id = $1 AND slot.owner_id = $2 AND slot.contact_id = queued.contact_id
  LEFT JOIN contacts AS c
    ON c.contact_id = queued.contact_id AND c.company_id = $1 AND c.owner_id = $2 AND c.listed
  LEFT JOIN organizations AS o
    ON o.company_id = $1 AND o.organization_id = c.organization_id AND NOT o.deleted
"""

# For a user without an index: everything, as if it were queued.
ALL: Final = """
SELECT c.contact_id, NULL::int AS slot, true AS listed,
       c.name, c.email, c.phone, o.organization_id, o.name AS organization_name,
       c.not_in_campaign, c.score, c.contacted_key, c.created_key
  FROM contacts AS c
  LEFT JOIN organizations AS o
    ON o.company_id = $1 AND o.organization_id = c.organization_id AND NOT o.deleted
 WHERE c.company_id = $1 AND c.owner_id = $2 AND c.listed
 ORDER BY c.not_in_campaign, c.score, c.contacted_key, c.created_key, c.contact_id
 LIMIT $3
"""

PENDING_ORGANIZATIONS: Final = """
SELECT queued.organization_id, o.name
  FROM unnest($2::uuid[]) AS queued (organization_id)
  LEFT JOIN organizations AS o
    ON o.company_id = $1 AND o.organization_id = queued.organization_id AND NOT o.deleted
"""


NameT = TypeVar("NameT", bound=Hashable)
Postings = defaultdict[tuple[NameT, int], list[Piece]]

YIELD_ROWS: Final = 2000


class State(NamedTuple):
    """Of an index: the limits of the assigned slots and words; the contacts and organizations that
    may be indexed differently, and the slots outside the bucket they are indexed under.
    """

    slots: int = 0
    words: int = 0
    contacts: Sequence[UUID] = ()
    organizations: Sequence[UUID] = ()
    moved: Sequence[int] = ()


class Most(NamedTuple):
    """Most entries read of each list of a `State`; a list that is this long may have more."""

    contacts: int
    organizations: int
    moved: int


class Wanted(NamedTuple):
    """A word in a range of kinds."""

    word: str
    first: int
    last: int


class ListKey(NamedTuple):
    """A contact's key; sorts as the list does."""

    not_in_campaign: bool
    score: int
    contacted_key: int
    created_key: int
    contact_id: UUID


class Pending(NamedTuple):
    """A contact that may be indexed differently or not at all; null: not on the list."""

    contact_id: UUID
    slot: int | None
    document: Document | None
    organization_name: str | None
    place: ListKey | None


async def state(conn: Connection, user: User, most: Most) -> State | None:
    """Null if the user has no index."""
    row = await conn.fetchrow(STATE, *user, *most)
    return None if row is None else State(*row)


async def beginning(
    conn: Connection, user: User, beginnings: Sequence[str], most: int
) -> list[tuple[str, str]]:
    """Words of the user's contacts that extend one of the beginnings."""
    rows = await conn.fetch(BEGINNING, *user, beginnings, most)
    return [(row[0], row[1]) for row in rows]


async def postings(
    conn: Connection, user: User, wanted: Mapping[NameT, Iterable[Wanted]]
) -> Postings[NameT]:
    """The postings of each group's words, by group and kind."""
    found: Postings[NameT] = defaultdict(list)
    groups = list(wanted)
    asked = [(number, *each) for number, group in enumerate(groups) for each in wanted[group]]
    if not asked:
        return found
    numbers, terms, first, last = columns(asked, 4)
    rows = await conn.fetch(
        POSTINGS, *user, array(numbers), terms, array(first), array(last), DENSE_BYTES
    )
    for count, row in enumerate(rows, 1):
        found[groups[row[0]], row[1]].append(row[2:])
        if count % YIELD_ROWS == 0:
            await asyncio.sleep(0)
    return found


async def words(
    conn: Connection, user: User, slots: Sequence[int], *, are_many: bool
) -> list[str]:
    """Some may have no contacts any more. If they are too many, the most frequent ones first."""
    statement = FREQUENT_WORDS if are_many else WORDS
    return [row[0] for row in await conn.fetch(statement, *user, array(slots))]


async def phones(conn: Connection, user: User, slots: Sequence[int]) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in await conn.fetch(PHONES, *user, array(slots))]


async def documents(
    conn: Connection, user: User, slots: Sequence[int]
) -> list[tuple[int, Document, str | None]]:
    """The text of each slot's contact, and its organization's present name."""
    if not slots:
        return []
    rows = await conn.fetch(DOCUMENTS, *user, array(slots))
    return [(row[0], Document(*row[1:5]), row[5]) for row in rows]


async def pending(conn: Connection, user: User, contacts: Iterable[UUID]) -> list[Pending]:
    """Those contacts in their present state."""
    queued = list(dict.fromkeys(contacts))
    return [_pending(row) for row in await conn.fetch(PENDING, *user, queued)] if queued else []


async def everything(conn: Connection, user: User, most: int) -> list[Pending]:
    """The user's first contacts in list order."""
    return [_pending(row) for row in await conn.fetch(ALL, *user, most)]


def _pending(row: asyncpg.Record) -> Pending:
    if not row["listed"]:
        return Pending(row["contact_id"], row["slot"], None, None, None)
    document = Document(row["name"], row["email"], row["phone"], row["organization_id"])
    place = ListKey(
        row["not_in_campaign"],
        row["score"],
        row["contacted_key"],
        row["created_key"],
        UUID(bytes=row["contact_id"].bytes),
    )
    return Pending(row["contact_id"], row["slot"], document, row["organization_name"], place)


async def pending_organizations(
    conn: Connection, user: User, organizations: Iterable[UUID]
) -> list[tuple[UUID, str | None]]:
    """Those organizations with their names; null: they no longer exist."""
    queued = list(dict.fromkeys(organizations))
    if not queued:
        return []
    rows = await conn.fetch(PENDING_ORGANIZATIONS, user.company_id, queued)
    return [(row[0], row[1]) for row in rows]
