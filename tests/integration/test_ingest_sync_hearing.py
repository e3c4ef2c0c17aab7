"""What stands in the log comes to be known, whoever knew of it: so what is gone is found."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api.tables import Order
from services.ingest.sync.steps import Mode
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LONG_AGO = timedelta(minutes=30)
KNOWN = """
SELECT entity, place, list, version, deleted FROM known
 WHERE entity IN ('person', 'organization', 'deal', 'activity', 'lead')
 ORDER BY 1, 2
"""
ALL_IS_LOST = "TRUNCATE known, consumer_offsets"


async def known(company: Company) -> list[Any]:
    async with company.sync.store() as conn:
        return [tuple(row) for row in await conn.fetch(KNOWN)]


async def execute(company: Company, statement: str) -> None:
    async with company.sync.store() as conn:
        await conn.execute(statement)


def told_gone(company: Company) -> set[Any]:
    return {each["entity_id"] for each in company.told.events if each["action"] == "delete"}


async def test_what_was_lost_is_heard_anew_and_what_was_gone_meanwhile_is_found(
    synchronised_company: Company,
) -> None:
    company = synchronised_company
    persons = company.double.account.tables["person"]
    before, told = await known(company), company.told.ids("person")
    await execute(company, ALL_IS_LOST)
    gone = next(persons.walk(Order.ID))
    persons.purge(gone)

    await company.hears()
    after = await known(company)
    company.told.events.clear()
    state = await company.syncs(A_USER, Mode.FULL)

    assert after == before
    assert state == "done"
    assert told_gone(company) == {str(gone)}
    assert company.told.ids("person") == told


async def test_what_was_published_by_who_died_before_it_was_written_down_is_known_when_it_is_heard(
    synchronised_company: Company,
) -> None:
    company = synchronised_company
    persons = company.double.account.tables["person"]
    made = await company.double.account.create("person", {"name": "Ann Other"})
    at = datetime.now(UTC) - LONG_AGO
    persons.put({**made, "update_time": shapes.seconds(at)}, at)
    company.told.end = RuntimeError("killed")
    died = await company.syncs(A_USER, Mode.FULL)
    persons.purge(made["id"])

    await company.hears()
    state = await company.syncs(A_USER, Mode.FULL)

    assert (died, state) == ("failed", "done")
    assert told_gone(company) == {str(made["id"])}


async def test_what_another_process_wrote_down_is_heard_and_changes_nothing(
    synchronised_company: Company,
) -> None:
    company = synchronised_company
    async with company.sync.store() as conn:
        before = await conn.fetch("SELECT * FROM known ORDER BY entity, place")

    await company.hears()

    async with company.sync.store() as conn:
        after = await conn.fetch("SELECT * FROM known ORDER BY entity, place")
    assert after == before
    assert all(row["digest"] is not None for row in after)


async def test_to_read_a_company_anew_its_digests_are_forgotten_and_what_is_gone_is_found(
    synchronised_company: Company,
) -> None:
    company = synchronised_company
    persons = company.double.account.tables["person"]
    entities = ("person", "organization", "deal", "activity", "lead", "user")
    told = {entity: company.told.ids(entity) for entity in entities}
    gone = next(persons.walk(Order.ID))
    persons.purge(gone)
    company.told.events.clear()
    await execute(company, "UPDATE known SET digest = NULL")

    state = await company.syncs(A_USER, Mode.FULL)

    assert state == "done"
    assert {entity: company.told.ids(entity) for entity in entities} == told
    assert told_gone(company) == {str(gone)}
