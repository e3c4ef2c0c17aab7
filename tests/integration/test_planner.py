"""What Postgres knows of tables keeps up with stores that grow from nothing."""

import asyncio
from pathlib import Path

import pytest

from shared import db, migrating, planner
from tests.support.waiting import until

pytestmark = pytest.mark.integration


async def test_a_table_is_analyzed_when_it_outgrew_what_is_known_and_not_when_it_changes(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_rows.sql").write_text(
        "CREATE TABLE rows (n int) WITH (autovacuum_enabled = off); CREATE TABLE few (n int);"
    )
    await migrating.migrate(database_url, "app", [tmp_path])
    async with db.pool(database_url, "app", size=2) as pool:

        async def is_known(rows: int) -> bool:
            """Postgres counts what a transaction did a moment after it."""
            await planner.inform(pool)
            found: int = await pool.fetchval(
                "SELECT reltuples::int FROM pg_class WHERE oid = 'rows'::regclass"
            )
            return found == rows

        async def changes() -> int:
            found: int = await pool.fetchval(
                "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'rows'::regclass"
            )
            return found

        await pool.execute("INSERT INTO few SELECT generate_series(1, 100)")
        await pool.execute("INSERT INTO rows SELECT generate_series(1, 1000)")
        await until(lambda: is_known(1000))
        await pool.execute("INSERT INTO rows SELECT generate_series(1, 5000)")
        await until(lambda: is_known(6000))

        for _ in range(5):
            await pool.execute("UPDATE rows SET n = n + 1")

        async def are_counted() -> bool:
            return await changes() == 30_000

        await until(are_counted)
        assert await planner.inform(pool) == []


async def test_a_table_that_goes_meanwhile_is_passed_over(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_rows.sql").write_text(
        "CREATE TABLE rows WITH (autovacuum_enabled = off)"
        " AS SELECT generate_series(1, 1000) AS n;"
    )
    await migrating.migrate(database_url, "app", [tmp_path])
    async with db.pool(database_url, "app", size=2) as pool, pool.acquire() as conn:

        async def waits() -> bool:
            found: bool = await conn.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE relation::text = $1 AND NOT granted)",
                relation,
            )
            return found

        async def is_counted() -> bool:
            rows: int = await conn.fetchval(
                "SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = 'rows'::regclass"
            )
            return rows == 1000

        await until(is_counted)
        relation = await conn.fetchval("SELECT 'rows'::regclass::oid::text")
        async with conn.transaction():
            await conn.execute("DROP TABLE rows")
            informing = asyncio.create_task(planner.inform(pool))
            await until(waits)

        assert len(await informing) == 1
