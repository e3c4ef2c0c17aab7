"""Updates a schema from plain SQL files.

Rule 1: files run in the order of their names, each once and in a transaction.
Rule 2: a schema made by other files is refused: one that ran and is not among ours, or was edited
        since. A later version's tables may look like ours, and mean something else.
Rule 3: one migration at a time per database, however many start at once. A service that has none
        to run waits for nobody.
Rule 4: nobody waits long behind a migration that itself waits for a lock: it is retried until the
        blocker, such as a dump, has ended.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

from shared import db, heart
from shared.errors import Misconfigured

log = logging.getLogger(__name__)

MIGRATION_S = 3600.0
"""Longest time for one migration file."""
LOCK_LOOK_S = 0.2
LOCK_S = 1.0
"""While a migration waits for a table, all later statements on it wait for it, too."""
LOCK_AGAIN_S = 4.0
SETTINGS_LOCK = 0x6D79353030
"""Spells "my500"."""


async def migrate(dsn: str, schema: str, folders: Sequence[Path]) -> None:
    """Waiting for another process's migration is done by polling, so that a Postgres that falls
    silent meanwhile is noticed.

    Raises:
        Unavailable: Postgres is away.
        Misconfigured: another version made the schema.
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
            await conn.execute(f'SET search_path = "{schema}", public')
            if await _is_up_to_date(conn, schema, files):
                return
            while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", SETTINGS_LOCK):
                heart.beat()
                await asyncio.sleep(LOCK_LOOK_S)
            await conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await conn.execute(f"SET lock_timeout = '{LOCK_S}s'")
            await conn.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations "
                "(name text PRIMARY KEY, digest text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
            for name, sql in (await _missing(conn, schema, files)).items():
                await _patiently(conn, name, sql)
        finally:
            await conn.close(timeout=db.CLOSE_TIMEOUT_S)


async def _is_up_to_date(conn: asyncpg.Connection, schema: str, files: Sequence[Path]) -> bool:
    """Whether there is nothing to run."""
    table = f'"{schema}".schema_migrations'
    is_made: bool = await conn.fetchval("SELECT to_regclass($1) IS NOT NULL", table)
    return is_made and not await _missing(conn, schema, files)


async def _missing(
    conn: asyncpg.Connection, schema: str, files: Sequence[Path]
) -> Mapping[str, str]:
    """What has yet to run, by name.

    Raises:
        Misconfigured: another version made the schema.
    """
    rows = await conn.fetch("SELECT name, digest FROM schema_migrations")
    done = {row["name"]: row["digest"] for row in rows}
    ours = {file.name: file.read_text() for file in files}
    for name, digest in done.items():
        if name not in ours or _digest(ours[name]) != digest:
            raise Misconfigured(
                f"the schema {schema} was made by another version: migration {name}, which has "
                "run, is not one of ours. Start that version or a later one, or restore the dump "
                "taken before it, or empty the schema"
            )
    return {name: sql for name, sql in ours.items() if name not in done}


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()


async def _patiently(conn: asyncpg.Connection, name: str, sql: str) -> None:
    is_told = False
    while True:
        try:
            return await _run(conn, name, sql)
        except asyncpg.LockNotAvailableError as held:
            if not is_told:
                log.warning("migration_waits", extra={"migration": name, "reason": str(held)})
            is_told = True
        heart.beat()
        await asyncio.sleep(LOCK_AGAIN_S)


async def _run(conn: asyncpg.Connection, name: str, sql: str) -> None:
    heart.beat(MIGRATION_S)
    async with conn.transaction():
        await conn.execute(sql, timeout=MIGRATION_S)
        await conn.execute(
            "INSERT INTO schema_migrations (name, digest) VALUES ($1, $2)", name, _digest(sql)
        )
    heart.beat()
