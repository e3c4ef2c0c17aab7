"""What a sync could not read, the next one reads from the same moment on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked, Rejected
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Order, Table
from devstack.pipedrive.changes import Id
from services.ingest.sync import connection_store, reading, schedule
from services.ingest.sync.connection_store import Link
from services.ingest.sync.schedule import BY_THE_CLOCK
from tests.support.commands import COMPANY
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

READ_UP_TO = timedelta(hours=1)
CHANGED = timedelta(minutes=30)
PAGE = 2


@pytest.fixture
async def company(synchronised_company: Company) -> Company:
    """Whose last sync was an hour ago."""
    async with synchronised_company.sync.store() as conn:
        await conn.execute("UPDATE connections SET since = since - $1::interval", READ_UP_TO)
    synchronised_company.told.events.clear()
    return synchronised_company


def change(company: Company, entity: str, row_id: Id, **fields: Any) -> None:
    """Half an hour ago, unheard."""
    table = company.double.account.tables[entity]
    at = datetime.now(UTC) - CHANGED
    stamp = shapes.millis if entity == "lead" else shapes.seconds
    table.put({**(table.get(row_id) or {}), **fields, "update_time": stamp(at)}, at)


def refuse_activities(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = lists.v2

    def refused(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        if table.entity == "activity":
            raise Rejected(403, "Your user may not see activities")
        return listed(table, asked, sight, archived=archived)

    monkeypatch.setattr(lists, "v2", refused)


async def link(company: Company) -> Link:
    async with company.sync.store() as conn:
        found = await connection_store.link(conn, COMPANY)
    assert found is not None
    return found


async def test_what_changed_in_a_list_that_was_refused_is_read_when_it_is_no_more(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await company.double.account.create("activity", {"subject": "Call", "type": "call"})
    change(company, "activity", made["id"], subject="Called unheard")
    began = datetime.now(UTC)
    with monkeypatch.context() as meanwhile:
        refuse_activities(meanwhile)
        states = [await company.syncs(A_USER) for _ in range(2)]
        errors = company.ended[-1].errors
        told_meanwhile = company.told.ids("activity")
    since = (await link(company)).since

    state = await company.syncs(A_USER)

    assert [*states, state] == ["done"] * 3
    assert {(each["list"], each["id"]) for each in errors} == {("activities", "")}
    assert told_meanwhile == set()
    assert since is not None
    assert since >= began
    assert company.told.ids("activity") == {str(made["id"])}


async def test_what_was_archived_while_the_archive_was_not_read_is_found_when_it_is(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = company.double.account
    person = next(account.tables["person"].walk(Order.ID))
    made = [
        await account.create("lead", {"title": "To be archived", "person_id": person})
        for _ in range(2 * PAGE)
    ]
    for lead in made:
        change(company, "lead", lead["id"], is_archived=True)
    monkeypatch.setattr(reading, "MOST_PER_PAGE", PAGE)
    monkeypatch.setattr(schedule, "is_thorough", lambda *_: False)
    states = [await company.syncs(BY_THE_CLOCK) for _ in range(2)]
    told_meanwhile = company.told.ids("lead")
    monkeypatch.setattr(schedule, "is_thorough", lambda *_: True)

    state = await company.syncs(BY_THE_CLOCK)

    assert [*states, state] == ["done"] * 3
    assert told_meanwhile == set()
    assert company.told.ids("lead") >= {lead["id"] for lead in made}
