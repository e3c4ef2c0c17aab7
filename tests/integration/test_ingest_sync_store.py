"""When a company is synchronised next, as it stands in Postgres."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.sync import connection_store, sync_store
from services.ingest.sync.steps import Mode
from shared import db
from tests.support.commands import COMPANY

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
A_QUARTER = NOW + timedelta(minutes=15)
TONIGHT = NOW - timedelta(seconds=5)
A_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("mode", "was_read", "next_full"),
    [
        (Mode.INCREMENTAL, True, TONIGHT),
        (Mode.INCREMENTAL, False, TONIGHT + A_DAY),
        (Mode.FULL, True, TONIGHT + A_DAY),
    ],
)
async def test_only_a_full_sync_that_failed_was_the_nights(
    ingest_conn: db.Connection, mode: Mode, was_read: bool, next_full: datetime
) -> None:
    failed, _ = await sync_store.ask(ingest_conn, COMPANY, mode, "user 1")
    await ingest_conn.execute("UPDATE connections SET full_due = $1", TONIGHT)
    if was_read:
        await ingest_conn.execute("UPDATE connections SET since = $1", NOW)
    await sync_store.start(ingest_conn, failed)

    await sync_store.postpone(ingest_conn, COMPANY, failed, A_QUARTER)

    link = await connection_store.link(ingest_conn, COMPANY)
    assert link is not None
    assert (link.incremental_due, link.full_due) == (A_QUARTER, next_full)
