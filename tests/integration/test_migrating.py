"""Schemas come up once however many start at once."""

import asyncio
from pathlib import Path

import pytest

from shared import db, lifecycle, migrating
from shared.errors import Misconfigured, Poison
from tests.support.cluster import Cluster
from tests.support.histories import a_webhook
from tests.support.pipe import COMPANY, a_tenant, push
from tests.support.waiting import until

pytestmark = pytest.mark.integration

WAITING = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE datname = current_database() AND NOT granted)
"""
LATER = "INSERT INTO schema_migrations (name, digest) VALUES ('0999_later.sql', '')"


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    return empty_database_url


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

    with pytest.raises(Misconfigured, match=r"0001_first\.sql"):
        await migrating.migrate(database_url, "app", [migrations])


async def test_the_schema_of_a_later_version_is_refused(
    database_url: str, migrations: Path
) -> None:
    await migrating.migrate(database_url, "app", [migrations])
    (migrations / "0002_second.sql").unlink()

    with pytest.raises(
        Misconfigured,
        match=r"the schema app was made by another version: migration 0002_second\.sql",
    ):
        await migrating.migrate(database_url, "app", [migrations])


async def test_nobody_waits_behind_a_migration_that_waits_for_a_dump(
    database_url: str, migrations: Path
) -> None:
    second = migrations / "0002_second.sql"
    sql = second.read_text()
    second.unlink()
    await migrating.migrate(database_url, "app", [migrations])
    second.write_text(sql)

    async with (
        db.pool(database_url, "app", size=2) as pool,
        asyncio.TaskGroup() as group,
        pool.acquire() as dump,
        dump.transaction(),
    ):
        await dump.execute("LOCK TABLE one IN ACCESS SHARE MODE")
        group.create_task(migrating.migrate(database_url, "app", [migrations]))

        async def waits() -> bool:
            return bool(await dump.fetchval(WAITING))

        await until(waits)
        async with asyncio.timeout(10):
            assert await pool.fetchval("SELECT count(*) FROM one") == 1


async def test_who_has_nothing_to_migrate_waits_for_no_other_migration(
    database_url: str, migrations: Path
) -> None:
    await migrating.migrate(database_url, "app", [migrations])

    async with db.pool(database_url, "app", size=1) as pool, pool.acquire() as other:
        await other.execute("SELECT pg_advisory_lock($1)", migrating.SETTINGS_LOCK)
        async with asyncio.timeout(10):
            await migrating.migrate(database_url, "app", [migrations])


async def test_a_service_of_an_older_version_ends_with_a_sentence_and_ingest_takes_webhooks(
    cluster: Cluster, database_url: str
) -> None:
    cluster.write_tenants([a_tenant(COMPANY)])
    for schema in ("ingest", "scoring"):
        await migrating.migrate(database_url, schema, [])
        async with db.pool(database_url, schema, size=1) as pool:
            await pool.execute(LATER)

    ingest, scoring = (cluster.start(service) for service in ("ingest", "scoring"))
    await cluster.ready(ingest)
    taken = await push(cluster, ingest, [a_webhook(company_id=COMPANY)])
    code = await asyncio.to_thread(scoring.process.wait, 60)

    assert (taken, code) == ([200], lifecycle.MISCONFIGURED)
    assert "migration 0999_later.sql" in scoring.log.read_text()
    assert "migration 0999_later.sql" in ingest.log.read_text()


async def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, migrations: Path
) -> None:
    (migrations / "0003_third.sql").write_text("CREATE TABLE three (n int); SELECT 1/0;")

    with pytest.raises(Poison):
        await migrating.migrate(database_url, "app", [migrations])

    async with db.pool(database_url, "app", size=2) as pool:
        assert await pool.fetchval("SELECT to_regclass('three')") is None
        assert await pool.fetchval("SELECT count(*) FROM schema_migrations") == 2
