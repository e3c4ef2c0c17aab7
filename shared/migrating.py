"""Brings a schema up to date from plain SQL files.

Rule 1: files run in the order of their names, each in a transaction and once.
Rule 2: a file that has run and was edited afterwards is refused.
Rule 3: one migration at a time in a database, however many start at once.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import asyncpg

from shared import db, heart

MIGRATION_S = 3600.0
"""How long a file of a migration may take."""
LOCK_LOOK_S = 0.2
SETTINGS_LOCK = 0x6D79353030
"""Spells "my500"."""


async def migrate(dsn: str, schema: str, folders: Sequence[Path]) -> None:
    """Who waits for another's migration asks again and again, so that a Postgres that fell silent
    meanwhile is noticed.

    Raises:
        Unavailable: Postgres is away.
        ValueError: a file that has run was edited.
    """
    files = sorted((f for folder in folders for f in folder.glob("*.sql")), key=lambda f: f.name)
    with db.errors():
        conn = await asyncpg.connect(
            dsn,
            timeout=db.CONNECT_TIMEOUT_S,
            command_timeout=db.ANSWER_S,
            server_settings={"application_name": f"my500-{schema}-migration", **db.ABANDONED},
        )
        try:
            while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", SETTINGS_LOCK):
                heart.beat()
                await asyncio.sleep(LOCK_LOOK_S)
            await conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await conn.execute(f'SET search_path = "{schema}", public')
            await conn.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations "
                "(name text PRIMARY KEY, digest text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
            await _run_missing(conn, files)
        finally:
            await conn.close(timeout=db.CLOSE_TIMEOUT_S)


async def _run_missing(conn: asyncpg.Connection, files: Iterable[Path]) -> None:
    rows = await conn.fetch("SELECT name, digest FROM schema_migrations")
    done = {row["name"]: row["digest"] for row in rows}
    for file in files:
        sql = file.read_text()
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if file.name in done:
            if done[file.name] != digest:
                raise ValueError(f"migration {file.name} was edited after it had run")
            continue
        heart.beat(MIGRATION_S)
        async with conn.transaction():
            await conn.execute(sql, timeout=MIGRATION_S)
            await conn.execute(
                "INSERT INTO schema_migrations (name, digest) VALUES ($1, $2)", file.name, digest
            )
        heart.beat()
