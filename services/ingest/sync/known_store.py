"""SQL of what we know of Pipedrive's rows. Every function takes the caller's connection.

Rule: rows are written in the order of their keys, so that two writers wait and never deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from services.ingest.sync.deciding import Known
from shared.db import Connection, columns

KNOWN = """
SELECT place, list, version, deleted, told, turn, digest
  FROM known
 WHERE company_id = $1
   AND entity = $2
   AND place = ANY($3::bytea[])
"""

COUNT = """
SELECT count(*) FROM known WHERE company_id = $1 AND entity = $2 AND list = $3 AND NOT deleted
"""

# What a webhook reported while we read counts by its version, as everywhere. What consumers hold
# then is not what was told: the row is compared again, as if the webhook had come after it.
KEEP = """
INSERT INTO known AS held (company_id, entity, place, list, version, deleted, told, turn, digest)
SELECT $1, $2, *
  FROM unnest($3::bytea[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[], $8::int[],
              $9::bytea[])
    ON CONFLICT (company_id, entity, place) DO UPDATE
   SET list = EXCLUDED.list,
       version = greatest(held.version, EXCLUDED.version),
       deleted = CASE WHEN EXCLUDED.version >= held.version
                      THEN EXCLUDED.deleted ELSE held.deleted END,
       told = EXCLUDED.told, turn = EXCLUDED.turn,
       digest = CASE WHEN EXCLUDED.version >= held.version THEN EXCLUDED.digest END
"""

# The digest is that of the newest body of all, or null. What is known already, like nearly all
# that the sync published, is looked up without a lock.
HEAR = """
INSERT INTO known AS held (company_id, entity, place, list, version, deleted, turn)
SELECT heard.*, 0
  FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::boolean[])
       AS heard (company_id, entity, place, list, version, deleted)
 WHERE NOT EXISTS (SELECT FROM known
                    WHERE known.company_id = heard.company_id AND known.entity = heard.entity
                      AND known.place = heard.place AND known.version >= heard.version)
 ORDER BY heard.company_id, heard.entity, heard.place
    ON CONFLICT (company_id, entity, place) DO UPDATE
   SET list = EXCLUDED.list, version = EXCLUDED.version, deleted = EXCLUDED.deleted, digest = NULL
 WHERE held.version < EXCLUDED.version
"""

# What was published since the rows were requested need not be among them. There may be 100,000:
# `<> ALL` would compare each with each, and so might a join by a plan made for fewer.
SUSPECT_ALL_BUT = """
INSERT INTO suspects (sync_id, list, place)
SELECT $1, $4::text, place
  FROM (SELECT place
          FROM known
         WHERE company_id = $2 AND entity = $3 AND list = $4::text
           AND NOT deleted AND version < $5
           {within}
        EXCEPT
        {shown}) AS missing (place)
    ON CONFLICT DO NOTHING
"""

SUSPECT_STRETCH = SUSPECT_ALL_BUT.format(
    within="AND place > $6 AND ($7::bytea IS NULL OR place <= $7)",
    shown="SELECT * FROM unnest($8::bytea[])",
)

SUSPECTS = """
SELECT place
  FROM suspects
 WHERE sync_id = $1 AND list = $2
 ORDER BY place
 LIMIT $3
"""

CLEARED = "DELETE FROM suspects WHERE sync_id = $1 AND list = $2 AND place = ANY($3::bytea[])"

ALL_CLEARED = "DELETE FROM suspects WHERE sync_id = $1 AND list = $2"

# What a sync has read since then, it has read whole.
MISSING = """
INSERT INTO incomplete (company_id, entity, place)
SELECT heard.company_id, heard.entity, heard.place
  FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bigint[])
       AS heard (company_id, entity, place, version)
 WHERE NOT EXISTS (SELECT FROM known
                    WHERE known.company_id = heard.company_id AND known.entity = heard.entity
                      AND known.place = heard.place AND known.told >= heard.version)
    ON CONFLICT DO NOTHING
"""

INCOMPLETE = """
SELECT entity, place
  FROM incomplete
 WHERE company_id = $1 AND entity = $2
 ORDER BY since
 LIMIT $3
"""

COMPLETED = """
DELETE FROM incomplete WHERE company_id = $1 AND entity = $2 AND place = ANY($3::bytea[])
"""


Whose = tuple[int, str, bytes]
"""A row's company, entity and place."""


class Stretch(NamedTuple):
    """Of the places after `after` up to `upto` (null: to the end), a page shows all that are in
    the list.
    """

    after: bytes
    upto: bytes | None


class Heard(NamedTuple):
    """What the log says about a row."""

    company_id: int
    entity: str
    place: bytes
    list: str
    version: int
    deleted: bool


async def known(
    conn: Connection, company_id: int, entity: str, places: Sequence[bytes]
) -> dict[bytes, Known]:
    rows = await conn.fetch(KNOWN, company_id, entity, places)
    return {row["place"]: Known(*tuple(row)[1:]) for row in rows}


async def count(conn: Connection, company_id: int, entity: str, in_list: str) -> int:
    found: int = await conn.fetchval(COUNT, company_id, entity, in_list)
    return found


async def keep(
    conn: Connection, company_id: int, entity: str, rows: Mapping[bytes, Known]
) -> None:
    if not rows:
        return
    ordered = [(at, *rows[at]) for at in sorted(rows)]
    await conn.execute(KEEP, company_id, entity, *columns(ordered, 7))


async def hear(conn: Connection, told: Iterable[Heard]) -> None:
    """At most one per row."""
    rows = list(told)
    if rows:
        await conn.execute(HEAR, *columns(rows, 6))


async def suspect(
    conn: Connection,
    sync_id: UUID,
    listed: tuple[int, str, str],
    stretch: Stretch,
    asked_us: int,
    shown: Sequence[bytes],
) -> None:
    """`listed` is the company, entity and list."""
    await conn.execute(SUSPECT_STRETCH, sync_id, *listed, asked_us, *stretch, list(shown))


async def suspects(conn: Connection, sync_id: UUID, in_list: str, limit: int) -> list[bytes]:
    rows = await conn.fetch(SUSPECTS, sync_id, in_list, limit)
    return [row["place"] for row in rows]


async def cleared(conn: Connection, sync_id: UUID, in_list: str, places: Sequence[bytes]) -> None:
    if places:
        await conn.execute(CLEARED, sync_id, in_list, places)


async def all_cleared(conn: Connection, sync_id: UUID, in_list: str) -> None:
    await conn.execute(ALL_CLEARED, sync_id, in_list)


async def missing(conn: Connection, versions: Mapping[Whose, int]) -> None:
    """Remember rows whose newest body, of that version, does not carry all that REST tells."""
    ordered = [(*whose, versions[whose]) for whose in sorted(versions)]
    if ordered:
        await conn.execute(MISSING, *columns(ordered, 4))


async def incomplete(conn: Connection, company_id: int, entity: str, limit: int) -> list[bytes]:
    rows = await conn.fetch(INCOMPLETE, company_id, entity, limit)
    return [row["place"] for row in rows]


async def completed(
    conn: Connection, company_id: int, entity: str, places: Sequence[bytes]
) -> None:
    if places:
        await conn.execute(COMPLETED, company_id, entity, places)
