"""Keeps Postgres' statistics up to date for stores that grow from nothing.

A plan made while a table is empty may use an index that soon is not selective. Postgres replans
once a table is analyzed, but autovacuum only looks for such tables once a minute. Replanning every
few seconds instead would cause pauses that each worker's events wait for.

Rule: a table that grew to a multiple of what Postgres knows is analyzed, so that happens a few
times in its life, and never because it merely changes: that is autovacuum's job.
"""

import contextlib
from typing import Final

import asyncpg

from shared import db

LEAST_ROWS: Final = 500
GREW_TIMES: Final = 3
LONGEST_S: Final = 15.0
GONE: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)

GROWN: Final = """
SELECT format('%I.%I', stats.schemaname, stats.relname)
  FROM pg_stat_user_tables AS stats
  JOIN pg_class ON pg_class.oid = stats.relid
 WHERE stats.schemaname = current_schema()
   AND stats.n_live_tup > $1 + $2 * greatest(pg_class.reltuples, 0)
"""


async def inform(pool: db.Pool) -> list[str]:
    """Analyze tables of the pool's schema that outgrew their statistics; returns their names.

    Raises:
        Unavailable: Postgres is away.
    """
    with db.errors():
        async with db.leased(pool, seconds=LONGEST_S) as conn:
            grown: list[str] = [row[0] for row in await conn.fetch(GROWN, LEAST_ROWS, GREW_TIMES)]
            for table in grown:
                # A store that was replaced, or an expired partition, is gone.
                with contextlib.suppress(*GONE):
                    await conn.execute(f"ANALYZE {table}")
    return grown
