"""SQL of organizations whose new totals are published later. No function commits."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from services.orgs import organization_store
from services.orgs.effects import OrgKey
from services.orgs.organization_store import Organization
from shared import db

PUT = """
WITH put AS (
    INSERT INTO untold (company_id, organization_id)
    SELECT * FROM unnest($1::bigint[], $2::uuid[])
        ON CONFLICT DO NOTHING
)
INSERT INTO untold_companies (company_id, latest)
SELECT company_id, clock_timestamp()
  FROM (SELECT DISTINCT unnest($1::bigint[]) AS company_id) AS k
    ON CONFLICT (company_id) DO UPDATE
   SET latest = EXCLUDED.latest
"""

# Companies take turns.
DUE = """
SELECT own.company_id, own.latest <= now() - $2 * interval '1 second' AS is_quiet
  FROM untold_companies AS own
 WHERE own.latest <= now() - $2 * interval '1 second'
    OR EXISTS (SELECT
                 FROM untold
                WHERE untold.company_id = own.company_id
                  AND untold.since <= now() - $3 * interval '1 second')
 ORDER BY own.company_id <= $1, own.company_id
 LIMIT 1
"""

# The oldest first: during an import others are added all the time.
TAKE = """
DELETE FROM untold
 WHERE company_id = $1
   AND organization_id = ANY(ARRAY(SELECT organization_id
                                     FROM untold
                                    WHERE company_id = $1
                                      AND since <= now() - $2 * interval '1 second'
                                    ORDER BY since
                                    LIMIT $3))
RETURNING company_id, organization_id
"""

FORGET = """
DELETE FROM untold_companies
 WHERE company_id = $1 AND NOT EXISTS (SELECT FROM untold WHERE company_id = $1)
"""


class Due(NamedTuple):
    """A company of which some are to be told: all, if it is quiet, else the oldest."""

    company_id: int
    is_quiet: bool


async def put(conn: db.Connection, keys: Collection[OrgKey]) -> None:
    await conn.execute(PUT, *db.columns(list(keys), 2))


async def due(
    conn: db.Connection, behind: int | None, *, quiet_s: float, longest_s: float
) -> Due | None:
    """A company of which none was added for so long, or some wait for so long; the next after
    `behind`.
    """
    row = await conn.fetchrow(DUE, behind, quiet_s, longest_s)
    return None if row is None else Due(*row)


async def take(
    conn: db.Connection, company_id: int, *, least_s: float, limit: int
) -> Sequence[Organization]:
    """Take so many of the company's that have waited for so long, as they are now."""
    keys = [(row[0], row[1]) for row in await conn.fetch(TAKE, company_id, least_s, limit)]
    if len(keys) < limit:
        await conn.execute(FORGET, company_id)
    return await organization_store.rows(conn, keys)
