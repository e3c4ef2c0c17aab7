"""When a company is synchronised next, as it stands in Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.sync import SCHEMA, connection_store, role, sync_store
from services.ingest.sync.steps import Mode
from shared import db, service
from tests.support.commands import COMPANY

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
A_QUARTER = NOW + timedelta(minutes=15)
TONIGHT = NOW - timedelta(seconds=5)
A_DAY = timedelta(days=1)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[db.Connection]:
    await service.prepare_store(database_url, SCHEMA, role.MIGRATIONS, asyncio.Event())
    made = await db.connect(database_url, SCHEMA)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("mode", "was_read", "next_full"),
    [
        (Mode.INCREMENTAL, True, TONIGHT),
        (Mode.INCREMENTAL, False, TONIGHT + A_DAY),
        (Mode.FULL, True, TONIGHT + A_DAY),
    ],
)
async def test_only_a_full_sync_that_failed_was_the_nights(
    conn: db.Connection, mode: Mode, was_read: bool, next_full: datetime
) -> None:
    failed, _ = await sync_store.ask(conn, COMPANY, mode, "user 1")
    await conn.execute("UPDATE connections SET full_due = $1", TONIGHT)
    if was_read:
        await conn.execute("UPDATE connections SET since = $1", NOW)
    await sync_store.start(conn, failed)

    await sync_store.postpone(conn, COMPANY, failed, A_QUARTER)

    link = await connection_store.link(conn, COMPANY)
    assert link is not None
    assert (link.incremental_due, link.full_due) == (A_QUARTER, next_full)
