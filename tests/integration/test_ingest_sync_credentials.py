"""A token that changes or is not accepted any more while a sync is under way."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Order, Table
from services.ingest.sync import connection_store
from services.ingest.sync.steps import Mode
from shared.pipedrive import client
from tests.support.commands import COMPANY, a_tenant
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ANOTHER_TOKEN = "another-token-of-the-double"
A_DAY = timedelta(days=1)
TEN_DAYS_AGO = """
UPDATE syncs
   SET created_at = created_at - interval '10 days', started_at = started_at - interval '10 days'
"""


def write_tenants(company: Company, *tenants: dict[str, Any]) -> None:
    company.sync.parts.settings.tenants_file.write_text(json.dumps(tenants))


def when_persons_are_walked(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> list[str]:
    """Does so as their first page is shown, of one row; whose pages of a walk were asked for."""
    listed, walked = lists.v2, []

    def and_then(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        if not asked.descending and not archived and asked.ids is None:
            if table.entity == "person" and "person" not in walked:
                act()
            walked.append(table.entity)
        return listed(table, asked, sight, archived=archived)

    monkeypatch.setattr(client, "MOST_PER_PAGE", 1)
    monkeypatch.setattr(lists, "v2", and_then)
    return walked


def when_the_token_is_replaced(company: Company, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As Pipedrive's, not in our file, while persons are walked."""

    def change() -> None:
        monkeypatch.setattr(company.double.server, "_api_token", ANOTHER_TOKEN)

    return when_persons_are_walked(monkeypatch, change)


async def test_a_token_that_is_changed_during_a_sync_does_not_begin_it_anew(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company

    def change() -> None:
        monkeypatch.setattr(company.double.server, "_api_token", ANOTHER_TOKEN)
        write_tenants(company, a_tenant(company.double.url, api_token=ANOTHER_TOKEN))

    walked = when_persons_are_walked(monkeypatch, change)

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    for entity, name in (("organization", "organizations"), ("person", "persons")):
        assert walked.count(entity) == company.ended[-1].counts[name]["read"] > 1


async def test_a_token_that_is_not_accepted_any_more_and_stands_in_the_file_fails_the_sync(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company

    when_the_token_is_replaced(company, monkeypatch)

    assert await company.syncs(A_USER, Mode.FULL) == "failed"
    assert company.ended[-1].reason == "Pipedrive does not accept the API token."


async def test_what_a_full_sync_read_before_its_token_was_refused_is_not_read_again(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company
    gone = next(company.double.account.tables["organization"].walk(Order.ID))
    company.double.account.tables["organization"].purge(gone)

    walked = when_the_token_is_replaced(company, monkeypatch)
    assert await company.syncs(A_USER, Mode.FULL) == "failed"
    assert await company.syncs(A_USER, Mode.FULL) == "failed"
    write_tenants(company, a_tenant(company.double.url, api_token=ANOTHER_TOKEN))

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    for entity, name in (("organization", "organizations"), ("person", "persons")):
        assert walked.count(entity) == company.ended[-1].counts[name]["read"] > 0
    last = company.told.events[-1]
    assert (last["entity_id"], last["action"]) == (str(gone), "delete")


async def test_days_without_an_accepted_token_do_not_put_off_the_next_nights_sync(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync that failed is taken over once there is one, and counts from its beginning."""
    company = synchronised_company

    when_the_token_is_replaced(company, monkeypatch)
    assert await company.syncs(A_USER, Mode.FULL) == "failed"
    write_tenants(company, a_tenant(company.double.url, api_token=ANOTHER_TOKEN))
    async with company.sync.store() as conn:
        await conn.execute(TEN_DAYS_AGO)

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    async with company.sync.store() as conn:
        link = await connection_store.link(conn, COMPANY)
    ended = company.ended[-1]
    assert ended.started_at is not None
    assert ended.created_at - ended.started_at > 9 * A_DAY
    assert link is not None
    assert link.full_due is not None
    assert link.full_due - ended.created_at < 2 * A_DAY


async def test_a_company_that_leaves_the_file_is_read_no_further(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = synchronised_company

    def leave() -> None:
        write_tenants(company)
        company.sync.tenants.reload()

    walked = when_persons_are_walked(monkeypatch, leave)

    assert await company.syncs(A_USER, Mode.FULL) == "failed"
    assert "has no API token" in (company.ended[-1].reason or "")
    assert walked.count("person") == 1


@pytest.mark.parametrize("status", [401, 402])
async def test_where_no_row_is_shown_any_more_nothing_is_said_of_those_that_may_be_gone(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The archive, which is read last, is the last that is served."""
    company = synchronised_company
    account = company.double.account
    person = next(account.tables["person"].walk(Order.ID))
    gone = (await account.create("lead", {"title": "A lead", "person_id": person}))["id"]
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    account.tables["lead"].purge(gone)
    company.told.events.clear()
    listed = lists.v1

    def and_then_off(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        if archived:
            company.double.server.faults = Faults(refused=1.0, status=status)
        return listed(table, asked, sight, archived=archived)

    monkeypatch.setattr(lists, "v1", and_then_off)

    refused = await company.syncs(A_USER, Mode.FULL)
    told_meanwhile = company.told.ids("lead")
    monkeypatch.setattr(lists, "v1", listed)
    company.double.server.faults = Faults()
    again = await company.syncs(A_USER, Mode.FULL)

    assert (refused, again) == ("failed", "done")
    assert told_meanwhile == set()
    assert company.told.ids("lead") == {str(gone)}
