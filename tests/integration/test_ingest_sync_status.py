"""What the pages are told of a company's sync, when one fails and the next finds nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.sync import answers
from services.ingest.sync.schedule import BY_THE_CLOCK
from shared.errors import Poison
from shared.pipedrive.errors import BurstSpent
from tests.support.synchronised import A_USER, Company
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NOW = datetime.now(UTC)
REFUSE_ENDS = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled'; END $$;
CREATE CONSTRAINT TRIGGER refused AFTER UPDATE ON syncs DEFERRABLE INITIALLY DEFERRED
   FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION refuse();
"""
ACCEPT_ENDS = "DROP TRIGGER refused ON syncs"


@pytest.fixture
def company(synchronised_company: Company) -> Company:
    return synchronised_company


async def test_a_sync_by_the_clock_that_finds_nothing_tells_its_end_and_nothing_else(
    company: Company,
) -> None:
    before, changes = list(company.relayed.states), len(company.told.events)

    assert await company.syncs(BY_THE_CLOCK) == "done"
    await company.last_told("idle")

    assert company.relayed.states == [*before, "idle"]
    assert len(company.told.events) == changes


async def test_what_is_told_is_newer_than_what_a_process_told_whose_clock_is_ahead(
    company: Company,
) -> None:
    ahead = int((NOW + timedelta(seconds=90)).timestamp() * 1_000_000)
    async with company.sync.store() as conn:
        await conn.execute("UPDATE connections SET told_version = $1", ahead)
    before = len(company.relayed.versions)

    assert await company.syncs(A_USER) == "done"
    await company.last_told("idle")

    later = [ahead, *company.relayed.versions[before:]]
    assert len(later) > 1
    assert later == sorted(set(later))


async def test_the_end_of_a_sync_is_told_if_it_is_recorded_and_only_then(
    company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_refused() -> bool:
        return any(record.message == "sync_interrupted" for record in caplog.records)

    before = list(company.relayed.states)
    async with company.sync.store() as conn:
        await conn.execute(REFUSE_ENDS)
    sync_id = await company.begins(BY_THE_CLOCK)

    await until(is_refused)
    untold = list(company.relayed.states)
    async with company.sync.store() as conn:
        await conn.execute(ACCEPT_ENDS)
    assert await company.ends(sync_id) == "done"
    await company.last_told("idle")

    assert untold == before
    assert company.relayed.states == [*before, "idle"]


@pytest.mark.parametrize("trouble", [Poison("no"), RuntimeError("a bug")])
async def test_a_failure_is_told_and_so_is_its_end_though_nothing_was_found(
    company: Company, trouble: Exception
) -> None:
    company.told.trouble = trouble
    assert await company.syncs(A_USER) == "failed"
    await company.last_told("failed")

    assert await company.syncs(BY_THE_CLOCK) == "done"

    await company.last_told("idle")


async def test_a_sync_that_waits_for_the_burst_says_until_when(company: Company) -> None:
    company.told.trouble = BurstSpent(1.5)
    sync_id = await company.begins(A_USER)

    async def waits() -> bool:
        return (await company.stands(sync_id)).state == "waiting"

    async def is_done() -> bool:
        return (await company.stands(sync_id)).state == "done"

    await until(waits)
    told = answers.sync(await company.stands(sync_id), NOW)
    await until(is_done)
    afterwards = answers.sync(await company.stands(sync_id), NOW)

    assert "burst" in told["reason"]
    assert told["waitingUntil"] > told["startedAt"]
    assert (afterwards["reason"], afterwards["waitingUntil"]) == (None, None)
