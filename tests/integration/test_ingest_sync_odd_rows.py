"""Rows that are none cost a sync themselves and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.tables import Order
from devstack.pipedrive.changes import Id
from services.ingest.sync import asking
from services.ingest.sync.steps import Mode
from shared.pipedrive import client
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NO_OBJECTS: Final[list[Any]] = [None, "a row", 7, []]
NO_IDS: Final[list[Any]] = [{"name": "Nobody"}, {"id": [1]}, {"id": {}}, {"id": ""}]
NO_ROWS: Final[list[Any]] = NO_OBJECTS + NO_IDS
READ: Final = {
    Mode.FULL: {"organizations", "persons", "deals", "archivedDeals", "activities", "leads"},
    Mode.INCREMENTAL: {"organizations", "persons", "deals", "leads"},
}
PAGE: Final = 3
CHANGED: Final = timedelta(seconds=30)


def put(company: Company, entity: str, row_id: Id, **fields: Any) -> str:
    """Half a minute ago, unheard."""
    table = company.double.account.tables[entity]
    at = datetime.now(UTC) - CHANGED
    stamp = shapes.millis if entity == "lead" else shapes.seconds
    table.put({**(table.get(row_id) or {}), **fields, "update_time": stamp(at)}, at)
    return str(row_id)


@pytest.mark.parametrize("mode", Mode)
async def test_the_others_of_each_page_are_read_and_each_is_said_to_have_failed(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    company = synchronised_company
    account = company.double.account
    person = company.first("person")
    await account.create("lead", {"title": "A lead", "person_id": person})
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    monkeypatch.setattr(client, "MOST_PER_PAGE", PAGE)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    assert await company.syncs(A_USER, mode) == "done"
    usual = company.ended[-1]
    changed = {
        (entity, put(company, entity, company.first(entity), **{name: "Renamed"}))
        for entity, name in (("organization", "name"), ("person", "name"), ("deal", "title"))
    }
    gone = list(account.tables["person"].walk(Order.ID))[-1]
    account.tables["person"].purge(gone)
    company.told.events.clear()
    company.double.server.faults = Faults(odd_rows=NO_ROWS)

    state = await company.syncs(A_USER, mode)

    found = company.ended[-1]
    assert (state, found.reason) == ("done", None)
    assert {(each["entity"], each["entity_id"]) for each in company.told.events} >= changed
    told_gone = {each["entity_id"] for each in company.told.events if each["action"] == "delete"}
    assert told_gone == ({str(gone)} if mode is Mode.FULL else set())
    assert found.tokens <= usual.tokens + 100
    assert all(found.counts[name]["failed"] >= len(NO_ROWS) for name in READ[mode])
    users = {**usual.counts["users"], "failed": len(NO_ROWS)}
    users |= {name: users[name] + len(NO_ROWS) for name in ("read", "total")}
    assert found.counts["users"] == users
    said = {error["error"] for error in found.errors}
    assert said >= {"the user is not an object", "the user has no usable id"}


async def test_a_row_whose_fields_are_of_other_types_is_read_without_them(
    synchronised_company: Company,
) -> None:
    company, odd = synchronised_company, 990_001
    fields = ("name", "emails", "phones", "org_id", "owner_id", "add_time", "label_ids")
    rows = [
        {"id": odd + number, **dict.fromkeys(fields, value), "job_title": "Kept"}
        for number, value in enumerate([[[]], {"a": {}}, True, -1.5, 10**18, "\0"])
    ]
    rows += [{"id": odd + len(rows), "name": "Kept", "update_time": 5, "custom_fields": [5]}]
    company.told.events.clear()
    company.double.server.faults = Faults(paths="/v2/persons", odd_rows=rows)

    states = [await company.syncs(A_USER, mode) for mode in (Mode.INCREMENTAL, Mode.FULL)]

    assert states == ["done", "done"]
    assert [each.errors for each in company.ended[-2:]] == [[], []]
    assert company.told.ids("person") == {str(row["id"]) for row in rows}


@pytest.mark.parametrize("row", [None, "a row", [], {"id": "abc"}, {"name": "Nobody"}])
async def test_a_known_row_that_is_none_any_more_is_not_taken_to_be_gone(
    synchronised_company: Company, row: Any
) -> None:
    company = synchronised_company
    person = str(company.first("person"))
    company.double.account.tables["person"].purge(int(person))
    company.told.events.clear()
    company.double.server.faults = Faults(paths=f"/v2/persons/{person}", odd_rows=[row])

    state = await company.syncs(A_USER, Mode.FULL)

    assert (state, company.told.events) == ("done", [])
    [error] = company.ended[-1].errors
    assert (error["list"], error["id"]) == ("persons", person)


async def test_a_number_in_place_of_a_time_does_not_end_a_list_too_early(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company
    person = company.first("person")
    made = [
        await company.double.account.create("lead", {"title": f"Lead {n}", "person_id": person})
        for n in range(3 * PAGE)
    ]
    leads = {put(company, "lead", lead["id"], is_archived=True) for lead in made}
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    odd = {"id": "odd", "title": "A lead", "add_time": 5, "update_time": 5}
    company.double.server.faults = Faults(paths="/v1/leads/archived", odd_rows=[odd])

    assert await company.syncs(A_USER) == "done"

    assert company.told.ids("lead") >= leads
