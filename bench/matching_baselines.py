"""What the matcher is measured against: the basic rule, rapidfuzz WRatio, pg_trgm in Postgres."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import asyncpg
from rapidfuzz import fuzz, process

from bench import stage
from bench.matching_task import Task
from services.orgs import names

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TEMP TABLE stored (cluster text, name text);
"""
INDEX = "CREATE INDEX ON stored USING gist (name gist_trgm_ops(siglen = 64))"
NEAREST = """
SELECT cluster, similarity(name, $1) FROM stored ORDER BY name <-> $1 LIMIT 1
"""

PIECES = 64
"""Number of pieces that the arrivals are cut into, each sent with all that is stored."""

Best = tuple[str | None, float]
"""The cluster that a matcher proposes for an arrival, and its score from 0 to 1."""


def basic_rule(task: Task) -> list[Best]:
    held = {
        profile.name.normalized: row.cluster
        for row, profile in task.stored
        if profile.name.normalized
    }
    found = (held.get(arrival.profile.name.normalized) for arrival in task.arrivals)
    return [(cluster, 1.0 if cluster else 0.0) for cluster in found]


def wratio(task: Task) -> list[Best]:
    """On all CPUs: it compares each arrival with all that is stored."""
    choices = [profile.name.normalized for _, profile in task.stored]
    likest = partial(process.extractOne, choices=choices, scorer=fuzz.WRatio)
    arriving = [names.normalized(a.row.stated.name) for a in task.arrivals]
    with ProcessPoolExecutor() as pool:
        found = pool.map(likest, arriving, chunksize=max(1, len(arriving) // PIECES))
        return [_nearest(task, each) for each in found]


async def trigrams(task: Task) -> list[Best]:
    async with stage.servers() as stack:
        conn = await asyncpg.connect(stack.urls.database)
        try:
            return await _likest_by_trigrams(conn, task)
        finally:
            await conn.close()


async def _likest_by_trigrams(conn: asyncpg.Connection, task: Task) -> list[Best]:
    await conn.execute(SCHEMA)
    rows = [(row.cluster, profile.name.normalized) for row, profile in task.stored]
    await conn.copy_records_to_table("stored", records=rows)
    await conn.execute(INDEX)
    statement = await conn.prepare(NEAREST)
    found = [await statement.fetchrow(a.profile.name.normalized) for a in task.arrivals]
    return [(row[0], row[1]) if row else (None, 0.0) for row in found]


def _nearest(task: Task, found: tuple[str, float, int] | None) -> Best:
    return (task.stored[found[2]][0].cluster, found[1] / 100) if found else (None, 0.0)
