"""SQL of the schemas of a rebuild: the live one, the new one, the old one.

Rule 1: a rebuild that other code started is started over; with the same code, it is resumed.
Rule 2: the new outbox has places that no statement about the live one can refer to.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import asyncpg

from shared import db, migrating
from shared.kafka.offsets import Partition
from shared.rebuild.plan import Plan

SHARED: Final = Path(__file__).parent.parent
FAR: Final = 1 << 40
"""Distance between the places of the two outboxes: more than either will use."""

MADE_BY = "SELECT obj_description(to_regnamespace($1), 'pg_namespace')"
EXISTS = "SELECT to_regnamespace($1) IS NOT NULL"
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p')
 ORDER BY n.nspname, c.relname
"""
EXTENSIONS = """
SELECT extname FROM pg_extension WHERE extnamespace = to_regnamespace($1)
"""


def fingerprint(plan: Plan) -> str:
    """A hash of the code that builds the store."""
    files = [
        file
        for root in (SHARED, plan.migrations.parent)
        for kind in ("*.py", "*.sql")
        for file in root.rglob(kind)
    ]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(str(file.relative_to(SHARED.parent)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


async def begin(conn: asyncpg.Connection, plan: Plan, *, restart: bool) -> bool:
    """Create the new schema, or find it; true if it existed and is resumed."""
    made_by = await conn.fetchval(MADE_BY, plan.next)
    resumed = made_by == fingerprint(plan) and not restart
    if not resumed:
        await conn.execute(f'DROP SCHEMA IF EXISTS "{plan.next}" CASCADE')
    folders = (SHARED / "migrations", plan.migrations)
    await migrating.migrate(plan.dsn, plan.service, folders)
    await migrating.migrate(plan.dsn, plan.next, folders)
    async with conn.transaction():
        if not resumed:
            await _place_outbox_far_away(conn, plan)
        for statement in plan.begin:
            await conn.execute(statement)
        # Last: a schema without a comment was not created completely.
        await conn.execute(f"COMMENT ON SCHEMA \"{plan.next}\" IS '{fingerprint(plan)}'")
    return resumed


async def drop_old(conn: asyncpg.Connection, plan: Plan) -> bool:
    """Returns whether there was one."""
    there: bool = await conn.fetchval(EXISTS, plan.old)
    await conn.execute(f'DROP SCHEMA IF EXISTS "{plan.old}" CASCADE')
    return there


async def is_switched(conn: asyncpg.Connection, plan: Plan) -> bool:
    """Whether the new store has taken the name. Waits for a switch in progress to end."""
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", migrating.SETTINGS_LOCK)
        waits: bool = await conn.fetchval(EXISTS, plan.next)
        return not waits


async def _place_outbox_far_away(conn: asyncpg.Connection, plan: Plan) -> None:
    """A relay that has published states of the live store deletes them by their places, possibly
    after the switch.
    """
    last = await conn.fetchval(
        f'SELECT greatest((SELECT last_value FROM "{plan.service}".outbox_place), '  # noqa: S608
        f'(SELECT max(place) FROM "{plan.service}".outbox))'
    )
    await conn.execute(f'ALTER SEQUENCE "{plan.next}".outbox_place RESTART WITH {last + FAR}')


async def offsets(conn: db.Connection, schema: str) -> Mapping[Partition, int]:
    rows = await conn.fetch(
        f'SELECT topic, partition, next_offset FROM "{schema}".consumer_offsets'  # noqa: S608
    )
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def lock_offsets(conn: asyncpg.Connection, schema: str) -> None:
    """Wait until no batch is in progress, and let none begin."""
    await conn.execute(f'LOCK TABLE "{schema}".consumer_offsets IN ACCESS EXCLUSIVE MODE')


async def lock_everything(conn: asyncpg.Connection, schemas: Sequence[str]) -> None:
    """Wait until nobody uses the tables, and let nobody begin."""
    tables = [row[0] for row in await conn.fetch(TABLES, list(schemas))]
    await conn.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")


async def analyze(conn: asyncpg.Connection, schema: str) -> None:
    """So that the planner knows what was just filled in."""
    tables = [row[0] for row in await conn.fetch(TABLES, [schema])]
    await conn.execute(f"ANALYZE {', '.join(tables)}")


async def analyze_outbox(conn: asyncpg.Connection, schema: str) -> None:
    """So that the few unpublished states are looked up, and not scanned for."""
    await conn.execute(f'ANALYZE "{schema}".outbox')


async def rename(conn: asyncpg.Connection, plan: Plan) -> None:
    for row in await conn.fetch(EXTENSIONS, plan.service):
        # An extension serves the whole database: it must not be dropped with a store.
        await conn.execute(f'ALTER EXTENSION "{row["extname"]}" SET SCHEMA public')
    await conn.execute(
        # Published first: changes after the switch, then what the rebuild has left.
        f"SELECT setval('\"{plan.next}\".outbox_place', last_value + 1) "  # noqa: S608
        f'FROM "{plan.service}".outbox_place'
    )
    await conn.execute(f'ALTER SCHEMA "{plan.service}" RENAME TO "{plan.old}"')
    await conn.execute(f'ALTER SCHEMA "{plan.next}" RENAME TO "{plan.service}"')
