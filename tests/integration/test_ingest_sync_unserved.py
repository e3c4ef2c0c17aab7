"""What Pipedrive does not serve for a company fails by itself, and says nothing of its rows."""

from dataclasses import replace
from typing import Final

import pytest

from devstack.pipedrive.api import lists as served
from devstack.pipedrive.api.asking import Asked
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Table
from devstack.pipedrive.changes import Id
from services.ingest.sync import lists
from services.ingest.sync.steps import Mode
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

STATUSES: Final = (403, 404, 410)
SENTENCE: Final = "Pipedrive refused: Not for this account."
UNREASONED: Final = "Pipedrive refused: no reason given."
UNSERVED: Final = {
    "/v1/lead": {"leadLabels", "leads", "archivedLeads"},
    "/v1/leads/archived": {"archivedLeads"},
    "/v1/leadLabels": {"leadLabels"},
    "/v2/deals": {"deals", "archivedDeals"},
    "/v2/deals/archived": {"archivedDeals"},
    "/v2/personFields": {"personFields"},
    "/v1/users": {"users"},
}


def unserved(path: str, status: int) -> Faults:
    return Faults(paths=path, refused=1.0, status=status, after=0.0)


async def a_lead(company: Company) -> Id:
    person = company.first("person")
    made = await company.double.account.create("lead", {"title": "A lead", "person_id": person})
    lead: Id = made["id"]
    return lead


@pytest.mark.parametrize(
    ("path", "status"),
    [*((path, 404) for path in UNSERVED), ("/v1/lead", 403), ("/v1/lead", 410)],
)
async def test_a_list_that_is_not_served_fails_and_the_others_are_read(
    synchronised_company: Company, path: str, status: int
) -> None:
    """As by a company that is connected, and by one whose feature is switched off."""
    company = synchronised_company
    account = company.double.account
    await a_lead(company)
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    async with company.sync.store() as conn:
        await conn.execute("UPDATE connections SET since = NULL")
    gone = company.first("activity")
    account.tables["activity"].purge(gone)
    company.told.events.clear()
    company.double.server.faults = unserved(path, status)

    states = [await company.syncs(A_USER, mode) for mode in (Mode.FULL, Mode.INCREMENTAL)]

    assert states == ["done", "done"]
    in_full, changed = company.ended[-2:]
    assert {(each["list"], each["error"]) for each in in_full.errors} == {
        (name, SENTENCE) for name in UNSERVED[path]
    }
    assert {each["list"] for each in changed.errors} <= UNSERVED[path]
    told_gone = {
        (e["entity"], e["entity_id"]) for e in company.told.events if e["action"] == "delete"
    }
    assert told_gone == {("activity", str(gone))}


@pytest.mark.parametrize("as_page", [False, True])
@pytest.mark.parametrize("status", [402, 403])
async def test_a_refusal_that_would_be_the_accounts_costs_the_list_alone_where_others_are_served(
    synchronised_company: Company, status: int, as_page: bool
) -> None:
    """As by a plan without leads, or by a firewall that takes exception to one path only."""
    company = synchronised_company
    company.double.server.faults = replace(unserved("/v1/lead", status), as_page=as_page)

    states = [await company.syncs(A_USER, mode) for mode in (Mode.FULL, Mode.INCREMENTAL)]

    assert states == ["done", "done"]
    in_full, changed = company.ended[-2:]
    assert {(each["list"], each["error"]) for each in in_full.errors} == {
        (name, UNREASONED if as_page else SENTENCE) for name in UNSERVED["/v1/lead"]
    }
    assert {each["list"] for each in changed.errors} == {"leads", "archivedLeads"}


@pytest.mark.parametrize("status", STATUSES)
async def test_where_no_archive_is_served_a_row_that_is_gone_from_the_list_is_told_as_gone(
    synchronised_company: Company, status: int
) -> None:
    company = synchronised_company
    gone = company.first("deal")
    company.double.account.tables["deal"].purge(gone)
    company.told.events.clear()
    company.double.server.faults = unserved(lists.ARCHIVED_DEALS.path, status)

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    assert {each["list"] for each in company.ended[-1].errors} == {"archivedDeals"}
    assert [(e["entity_id"], e["action"]) for e in company.told.events] == [(str(gone), "delete")]


@pytest.mark.parametrize("status", STATUSES)
async def test_what_is_switched_off_between_walk_and_look_is_not_taken_to_be_gone(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """A lead leaves its list, and then nothing of leads is served any more."""
    company = synchronised_company
    account = company.double.account
    lead = await a_lead(company)
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    account.sight.hidden["lead"] = {lead}
    company.told.events.clear()
    listed = served.v1

    def and_then_off(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        if archived:
            company.double.server.faults = unserved("/v1/leads", status)
        return listed(table, asked, sight, archived=archived)

    monkeypatch.setattr(served, "v1", and_then_off)

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    assert company.told.events == []
