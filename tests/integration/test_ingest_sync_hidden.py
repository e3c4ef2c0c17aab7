"""Rows that a walk does not show, and of which Pipedrive will not or cannot say why."""

import pytest

from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.tables import Order
from services.ingest.sync import vanishing
from services.ingest.sync.steps import Mode
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

AT_A_TIME = 2
ENOUGH = 4


async def test_of_many_rows_that_are_hidden_only_some_are_asked_for_and_that_is_said(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company
    account = company.double.account
    for number in range(5 * ENOUGH):
        await account.create("person", {"name": f"Person {number}"})
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    usual = company.ended[-1].tokens
    monkeypatch.setattr(vanishing, "MOST_IDS", AT_A_TIME)
    monkeypatch.setattr(vanishing, "ENOUGH", ENOUGH)
    persons = list(account.tables["person"].walk(Order.ID))
    account.sight.hidden["person"] = set(persons)
    company.told.events.clear()

    state = await company.syncs(A_USER, Mode.FULL)

    assert (state, company.told.events) == ("done", [])
    [error] = company.ended[-1].errors
    assert (error["list"], error["id"]) == ("persons", str(persons[ENOUGH]))
    assert "can no longer see it" in error["error"]
    asked_in_vain = ENOUGH // AT_A_TIME * 10 + ENOUGH
    assert company.ended[-1].tokens - usual <= asked_in_vain


async def test_what_was_gone_while_it_was_hidden_is_found_when_the_others_are_seen_again(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company
    account = company.double.account
    persons = list(account.tables["person"].walk(Order.ID))
    gone = persons[-1]
    assert len(persons) > ENOUGH
    monkeypatch.setattr(vanishing, "MOST_IDS", AT_A_TIME)
    monkeypatch.setattr(vanishing, "ENOUGH", ENOUGH)
    account.sight.hidden["person"] = set(persons)
    account.tables["person"].purge(gone)
    company.told.events.clear()
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    told_meanwhile = list(company.told.events)
    account.sight.hidden.clear()

    state = await company.syncs(A_USER, Mode.FULL)

    assert (state, told_meanwhile, company.ended[-1].errors) == ("done", [], [])
    [event] = company.told.events
    assert (event["entity_id"], event["action"]) == (str(gone), "delete")


@pytest.mark.parametrize("others", [0, 2])
async def test_a_row_of_which_pipedrive_never_says_anything_holds_up_no_others(
    synchronised_company: Company, others: int
) -> None:
    company = synchronised_company
    account = company.double.account
    made = [await account.create("person", {"name": f"Person {n}"}) for n in range(others + 1)]
    silent, *gone = [str(one["id"]) for one in made]
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    for one in made:
        account.tables["person"].purge(one["id"])
    company.told.events.clear()
    company.double.server.faults = Faults(paths=f"/v2/persons/{silent}", errors=1.0)

    state = await company.syncs(A_USER, Mode.FULL)
    told = company.told.ids("person")
    company.double.server.faults = Faults()
    await company.syncs(A_USER, Mode.FULL)

    assert (state, told) == ("done", set(gone))
    first, second = company.ended[-2:]
    assert [(error["list"], error["id"]) for error in first.errors] == [("persons", silent)]
    assert first.counts["persons"]["failed"] == 1
    assert (second.errors, company.told.ids("person")) == ([], {silent, *gone})
