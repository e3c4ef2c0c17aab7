"""When a company is synchronised next, and what a walk has shown, as it stands in Postgres."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.preparing import SCHEMA
from services.ingest.sync import connection_store, known_store, sync_store, walked_store
from services.ingest.sync.connection_store import Link
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Sync
from shared import db
from tests.support.commands import COMPANY
from tests.support.plans import plans

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
A_QUARTER = NOW + timedelta(minutes=15)
TONIGHT = NOW - timedelta(seconds=5)
A_DAY = timedelta(days=1)
A_PAGE = 500
MANY_KNOWN = """
INSERT INTO known (company_id, entity, place, list, version, deleted, turn)
SELECT $1, 'lead', place, 'leads', 1, false, 0 FROM unnest($2::bytea[]) AS place
"""
ENDED = """
INSERT INTO syncs (company_id, mode, cause, state, created_at, started_at, finished_at)
VALUES ($1, 'incremental', 'clock', $2, $3, $3, $3)
"""
# Of 200 companies in a month.
MANY_ENDED = """
INSERT INTO syncs (company_id, mode, cause, state, created_at, started_at, finished_at)
SELECT company_id, 'incremental', 'schedule', 'done', at, at, at
  FROM generate_series(1, 200) AS company_id,
       generate_series(now() - interval '29 days', now(), interval '3 hours') AS at
"""

COMPANIES = 300
MANY_CONNECTED = """
INSERT INTO connections (company_id, incremental_due, full_due)
SELECT company_id, now() + interval '15 minutes', now() + interval '1 day'
  FROM generate_series(1, $1) AS company_id
"""
MANY_OPEN = """
INSERT INTO syncs (company_id, mode, cause)
SELECT company_id, 'incremental', 'schedule' FROM connections
"""


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

    link = await the_link(ingest_conn)
    assert (link.incremental_due, link.full_due) == (A_QUARTER, next_full)


async def test_a_company_that_fails_for_long_fills_nothing_and_says_when_it_was_in_step(
    ingest_conn: db.Connection,
) -> None:
    ended = [(days, "done" if days > 50 else "failed") for days in (61, 60, 40, 35, 2)]
    for days, state in ended:
        await ingest_conn.execute(ENDED, COMPANY, state, NOW - days * A_DAY)
    failing, _ = await sync_store.ask(ingest_conn, COMPANY, Mode.INCREMENTAL, "clock")

    await sync_store.end(ingest_conn, failing, "failed", "the token is refused")

    kept = await sync_store.newest(ingest_conn, COMPANY, 10)
    assert [sync.state for sync in kept] == ["failed", "failed", "done"]
    assert await sync_store.last_completed(ingest_conn, COMPANY) == NOW - 60 * A_DAY


async def test_at_the_end_of_a_sync_those_of_other_companies_are_not_read(
    ingest_conn: db.Connection, database_url: str
) -> None:
    await ingest_conn.execute(MANY_ENDED)
    await ingest_conn.execute("ANALYZE syncs")
    ending, _ = await sync_store.ask(ingest_conn, COMPANY, Mode.INCREMENTAL, "schedule")

    async with db.pool(database_url, SCHEMA, size=1) as pool:
        ran = await plans(pool, lambda conn: sync_store.end(conn, ending, "done", None))

    assert max(plan.blocks for plan in ran) < 50


async def test_what_is_due_is_looked_up_once_for_each_of_many_companies(
    ingest_conn: db.Connection, database_url: str
) -> None:
    """Of all of which a sync is open, as after an outage, and planned while none was."""
    await ingest_conn.execute(MANY_CONNECTED, COMPANIES)
    await ingest_conn.execute("ANALYZE connections; ANALYZE syncs")
    await ingest_conn.execute("UPDATE connections SET incremental_due = now()")
    await ingest_conn.execute(MANY_OPEN)

    async with db.pool(database_url, SCHEMA, size=1) as pool:
        [ran] = await plans(pool, sync_store.due)

    assert ran.through < 10 * COMPANIES


async def test_a_sync_that_was_open_when_the_webhook_was_mended_is_followed_at_once(
    ingest_conn: db.Connection,
) -> None:
    """By one that begins where what was lost did, and only the end of that one moves on."""
    lost_since = NOW - timedelta(hours=3)
    await ingest_conn.execute("INSERT INTO connections (company_id) VALUES ($1)", COMPANY)
    await ingest_conn.execute(
        "UPDATE connections SET since = $1, last_event_at = $2", NOW, lost_since
    )
    was_open = await begun(ingest_conn)
    await connection_store.mended(ingest_conn, COMPANY)

    await completed(ingest_conn, was_open)
    after_the_open_one = await the_link(ingest_conn)
    due = await sync_store.due(ingest_conn)
    following = await begun(ingest_conn)
    await completed(ingest_conn, following)

    assert (was_open.since, after_the_open_one.since) == (NOW, lost_since)
    assert due == [(COMPANY, False, True)]
    assert following.since == lost_since
    link = await the_link(ingest_conn)
    assert (link.since, link.incremental_due) == (following.started_at, A_QUARTER)


async def test_a_sync_that_failed_while_the_webhook_was_mended_is_tried_again_at_once(
    ingest_conn: db.Connection,
) -> None:
    failed = await begun(ingest_conn)
    await connection_store.mended(ingest_conn, COMPANY)
    await sync_store.postpone(ingest_conn, COMPANY, failed.id, A_QUARTER)
    await sync_store.end(ingest_conn, failed.id, "failed", "no")
    due = await sync_store.due(ingest_conn)

    again = await begun(ingest_conn)
    await sync_store.postpone(ingest_conn, COMPANY, again.id, A_QUARTER)

    assert due == [(COMPANY, False, True)]
    assert (await the_link(ingest_conn)).incremental_due == A_QUARTER


async def begun(conn: db.Connection) -> Sync:
    sync_id, _ = await sync_store.ask(conn, COMPANY, Mode.INCREMENTAL, "user 1")
    found = await sync_store.start(conn, sync_id)
    assert found is not None
    return found


async def completed(conn: db.Connection, sync: Sync) -> None:
    assert sync.started_at is not None
    await sync_store.completed(
        conn, sync, since=sync.started_at, behind={}, incremental_due=A_QUARTER, full_due=None
    )
    await sync_store.end(conn, sync.id, "done", None)


async def the_link(conn: db.Connection) -> Link:
    found = await connection_store.link(conn, COMPANY)
    assert found is not None
    return found


async def test_whoever_a_walk_of_a_long_list_has_not_shown_is_suspected(
    ingest_conn: db.Connection,
) -> None:
    """Of a hundred thousand, by a plan made for a few."""
    sync_id, _ = await sync_store.ask(ingest_conn, COMPANY, Mode.FULL, "user 1")
    listed, began_us = (COMPANY, "lead", "leads"), 2
    for _ in range(6):  # from then on the plan is for any parameters
        await walked_store.suspect(ingest_conn, sync_id, listed, began_us)
    leads = [f"{number:036}" for number in range(100_000)]
    await ingest_conn.execute(MANY_KNOWN, COMPANY, [lead.encode() for lead in leads])
    for start in range(3, len(leads), A_PAGE):
        page = [(lead, "2026-01-01") for lead in leads[start : start + A_PAGE]]
        await walked_store.add(ingest_conn, sync_id, "leads", page)

    await walked_store.suspect(ingest_conn, sync_id, listed, began_us)

    unshown = [lead.encode() for lead in leads[:3]]
    assert await known_store.suspects(ingest_conn, sync_id, "leads", 10) == unshown


async def test_whoever_goes_on_with_a_walk_knows_what_it_has_shown_until_it_is_forgotten(
    ingest_conn: db.Connection,
) -> None:
    sync_id, _ = await sync_store.ask(ingest_conn, COMPANY, Mode.FULL, "user 1")
    pages = [[("a-lead", "2026-01-01"), ("\0", "None")], [], [("a-lead", "2026-01-02")]]
    for page in pages:
        await walked_store.add(ingest_conn, sync_id, "leads", page)
    await walked_store.add(ingest_conn, sync_id, "archivedLeads", [("another", "")])

    shown = await walked_store.keys(ingest_conn, sync_id, "leads")
    await walked_store.forget(ingest_conn, sync_id, "leads")

    assert shown == {key for page in pages for key in page}
    assert await walked_store.keys(ingest_conn, sync_id, "leads") == set()
    assert await walked_store.keys(ingest_conn, sync_id, "archivedLeads") == {("another", "")}
