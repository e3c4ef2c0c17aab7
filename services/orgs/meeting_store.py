"""SQL that finds whom a record meets: by name, corroborated core key, crowd. None commits."""

from collections.abc import Collection
from uuid import UUID

from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.matching import meeting
from services.orgs.record_store import read
from shared import db

BLOCK = """
SELECT r.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, name_key)
  JOIN records r USING (company_id, name_key)
"""

# A name without its legal form is common, so it is looked up together with what corroborates it.
BORNE_OUT = """
SELECT r.*
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[])
       AS k (company_id, core_key, domain, postcode_key)
  JOIN records r
    ON r.company_id = k.company_id AND r.core_key = k.core_key AND NOT r.deleted
   AND (r.domain = k.domain OR r.postcode_key = k.postcode_key)
"""

# More than the limit counts as all: then they are too many to mean anything.
OF_DOMAINS = """
SELECT k.domain AS met, r.*
  FROM unnest($1::bigint[], $2::text[]) AS k (company_id, domain)
 CROSS JOIN LATERAL (
       SELECT *
         FROM records
        WHERE company_id = k.company_id AND domain = k.domain AND NOT deleted
        LIMIT $3) AS r
"""
OF_PLACES = """
SELECT k.place_key AS met, r.*
  FROM unnest($1::bigint[], $2::text[]) AS k (company_id, place_key)
 CROSS JOIN LATERAL (
       SELECT *
         FROM records
        WHERE company_id = k.company_id AND place_key = k.place_key AND NOT deleted
        LIMIT $3) AS r
"""


async def block(conn: db.Connection, name_keys: Collection[OrgKey]) -> list[Record]:
    """All records, living or not, that have one of the names."""
    if not name_keys:
        return []
    return [read(row) for row in await conn.fetch(BLOCK, *db.columns(list(name_keys), 2))]


async def borne_out(
    conn: db.Connection, keys: Collection[tuple[int, UUID, str | None, str | None]]
) -> list[Record]:
    """Living records of a core key, and of a domain or a postcode with it."""
    if not keys:
        return []
    return [read(row) for row in await conn.fetch(BORNE_OUT, *db.columns(list(keys), 4))]


async def crowds(
    conn: db.Connection, keys: Collection[tuple[int, meeting.Key]], limit: int
) -> dict[tuple[int, meeting.Key], list[Record]]:
    """The living records that have each key, no more than the limit."""
    found: dict[tuple[int, meeting.Key], list[Record]] = {key: [] for key in keys}
    for kind, statement in (("domain", OF_DOMAINS), ("place", OF_PLACES)):
        looked = [(company_id, key[1]) for company_id, key in keys if key[0] == kind]
        if looked:
            for row in await conn.fetch(statement, *db.columns(looked, 2), limit):
                found[row["company_id"], (kind, row["met"])].append(read(row))
    return found
