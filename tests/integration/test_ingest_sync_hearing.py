"""What stands in the log comes to be known, whoever knew of it: so what is gone is found."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api.tables import Order
from services.ingest import values
from services.ingest.sync import deciding, known_store
from services.ingest.sync.known_store import Heard
from services.ingest.sync.lists import PERSONS
from services.ingest.sync.steps import Mode
from shared.kafka.publisher import Record
from tests.support.commands import COMPANY
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LONG_AGO = timedelta(minutes=30)
A_MOMENT_AGO = timedelta(seconds=10)
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


@pytest.mark.parametrize("is_heard_meanwhile", [False, True])
async def test_what_was_lost_just_before_a_webhook_came_is_told_once_it_is_sure_which_came_last(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch, *, is_heard_meanwhile: bool
) -> None:
    """The webhook names a moment in the second after that of the row's time, as recorded ones do;
    what was written in the row's second thereafter was lost. It is heard before a sync, or while
    that publishes the row.
    """
    company = synchronised_company
    persons = company.double.account.tables["person"]
    person = next(persons.walk(Order.ID))
    at = (datetime.now(UTC) - A_MOMENT_AGO).replace(microsecond=0)
    written = {"name": "Changed unheard", "update_time": shapes.seconds(at)}
    persons.put({**(persons.get(person) or {}), **written}, at)
    version = values.micros(at + timedelta(seconds=1, milliseconds=89))
    place = PERSONS.place(str(person))
    publish = company.told.publish

    async def hear() -> None:
        heard = Heard(COMPANY, "person", place, "persons", version, deleted=False)
        async with company.sync.store() as conn:
            await known_store.hear(conn, [heard])

    async def and_hear(records: Sequence[Record]) -> None:
        await publish(records)
        await hear()

    if is_heard_meanwhile:
        monkeypatch.setattr(company.told, "publish", and_hear)
    else:
        await hear()
    company.told.events.clear()

    states = [await company.syncs(A_USER)]
    monkeypatch.setattr(deciding, "CONSISTENT_AFTER", timedelta())
    states += [await company.syncs(A_USER) for _ in range(2)]

    assert states == ["done"] * 3
    told = [each["version"] for each in company.told.events if each["entity"] == "person"]
    assert told == [values.micros(at) + 999_999, version + 1]
