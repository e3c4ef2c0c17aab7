"""Schemas come up once however many start at once."""

import asyncio
from pathlib import Path

import pytest

from shared import db, migrating
from shared.errors import Poison

pytestmark = pytest.mark.integration


async def test_instances_that_start_at_once_migrate_once(
    database_url: str, migrations: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(migrating.migrate(database_url, "app", [migrations]))

    async with db.pool(database_url, "app", size=2) as pool:
        assert await pool.fetchval("SELECT count(*) FROM one") == 1
        assert await pool.fetchval("SELECT count(*) FROM schema_migrations") == 2


async def test_two_schemas_of_one_database_know_nothing_of_each_other(
    database_url: str, migrations: Path
) -> None:
    await migrating.migrate(database_url, "left", [migrations])
    await migrating.migrate(database_url, "right", [migrations])

    async with db.pool(database_url, "left", size=2) as left:
        await left.execute("DELETE FROM one")
    async with db.pool(database_url, "right", size=2) as right:
        assert await right.fetchval("SELECT count(*) FROM one") == 1


async def test_a_migration_that_has_run_must_not_be_edited(
    database_url: str, migrations: Path
) -> None:
    await migrating.migrate(database_url, "app", [migrations])
    (migrations / "0001_first.sql").write_text("CREATE TABLE two (n int);")

    with pytest.raises(ValueError, match=r"0001_first\.sql"):
        await migrating.migrate(database_url, "app", [migrations])


async def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, migrations: Path
) -> None:
    (migrations / "0003_third.sql").write_text("CREATE TABLE three (n int); SELECT 1/0;")

    with pytest.raises(Poison):
        await migrating.migrate(database_url, "app", [migrations])

    async with db.pool(database_url, "app", size=2) as pool:
        assert await pool.fetchval("SELECT to_regclass('three')") is None
        assert await pool.fetchval("SELECT count(*) FROM schema_migrations") == 2
