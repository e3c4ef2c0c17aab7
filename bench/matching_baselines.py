"""What the matcher is measured against: the basic rule, rapidfuzz WRatio, pg_trgm in Postgres."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
from rapidfuzz import fuzz, process

from bench.matching_task import Task
from devstack.stack import ANY_PORTS, Stack
from services.orgs import names

HOME = Path(__file__).parent.parent / ".local" / "kafka"
SCHEMA = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TEMP TABLE stored (cluster text, name text);
"""
INDEX = "CREATE INDEX ON stored USING gist (name gist_trgm_ops(siglen = 64))"
NEAREST = """
SELECT cluster, similarity(name, $1) FROM stored ORDER BY name <-> $1 LIMIT 1
"""

PIECES = 64
"""Into so many pieces the arrivals are cut, each sent with all that is stored."""

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
    """On all processors: it compares each arrival with all that is stored."""
    choices = [profile.name.normalized for _, profile in task.stored]
    likest = partial(process.extractOne, choices=choices, scorer=fuzz.WRatio)
    arriving = [names.normalized(a.row.stated.name) for a in task.arrivals]
    with ProcessPoolExecutor() as pool:
        found = pool.map(likest, arriving, chunksize=max(1, len(arriving) // PIECES))
        return [_nearest(task, each) for each in found]


async def trigrams(task: Task) -> list[Best]:
    async with _postgres() as conn:
        await conn.execute(SCHEMA)
        rows = [(row.cluster, profile.name.normalized) for row, profile in task.stored]
        await conn.copy_records_to_table("stored", records=rows)
        await conn.execute(INDEX)
        statement = await conn.prepare(NEAREST)
        found = [await statement.fetchrow(a.profile.name.normalized) for a in task.arrivals]
        return [(row[0], row[1]) if row else (None, 0.0) for row in found]


def _nearest(task: Task, found: tuple[str, float, int] | None) -> Best:
    return (task.stored[found[2]][0].cluster, found[1] / 100) if found else (None, 0.0)


@asynccontextmanager
async def _postgres() -> AsyncIterator[asyncpg.Connection]:
    """A server of its own under a temporary folder; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="my500-bench-") as folder:
        root = Path(folder)
        os.chmod(root, 0o755)  # noqa: PTH101, S103  Postgres runs as another user where we are root
        stack = Stack(root / "stack", home=HOME, wanted_ports=ANY_PORTS)
        try:
            urls = await asyncio.to_thread(stack.start)
            conn = await asyncpg.connect(urls.database)
            try:
                yield conn
            finally:
                await conn.close()
        finally:
            await asyncio.to_thread(stack.stop)
