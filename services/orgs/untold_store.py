"""SQL of organizations whose new totals are published later. No function commits."""

from collections.abc import Collection, Sequence

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
INSERT INTO untold_companies (company_id, since, latest)
SELECT company_id, clock_timestamp(), clock_timestamp()
  FROM (SELECT DISTINCT unnest($1::bigint[]) AS company_id) AS k
    ON CONFLICT (company_id) DO UPDATE
   SET latest = EXCLUDED.latest
"""

# Companies take turns.
DUE = """
SELECT company_id
  FROM untold_companies
 WHERE latest <= now() - $2 * interval '1 second' OR since <= now() - $3 * interval '1 second'
 ORDER BY company_id <= $1, company_id
 LIMIT 1
"""

TAKE = """
DELETE FROM untold
 WHERE company_id = $1
   AND organization_id = ANY(ARRAY(SELECT organization_id
                                     FROM untold
                                    WHERE company_id = $1
                                    ORDER BY organization_id
                                    LIMIT $2))
RETURNING company_id, organization_id
"""

TOLD = "DELETE FROM untold_companies WHERE company_id = $1"


async def put(conn: db.Connection, keys: Collection[OrgKey]) -> None:
    await conn.execute(PUT, *db.columns(list(keys), 2))


async def due(
    conn: db.Connection | db.Pool, behind: int | None, *, quiet_s: float, longest_s: float
) -> int | None:
    """A company of which none was added for so long, or some wait for so long; the next after
    `behind`.
    """
    company_id: int | None = await conn.fetchval(DUE, behind, quiet_s, longest_s)
    return company_id


async def take(conn: db.Connection, company_id: int, limit: int) -> Sequence[Organization]:
    """Take so many of the company's, as they are now; if these are the last, it has none."""
    keys = [(row[0], row[1]) for row in await conn.fetch(TAKE, company_id, limit)]
    if len(keys) < limit:
        await conn.execute(TOLD, company_id)
    return await organization_store.rows(conn, keys)


async def is_empty(pool: db.Pool) -> bool:
    return not await pool.fetchval("SELECT EXISTS (SELECT FROM untold_companies)")
