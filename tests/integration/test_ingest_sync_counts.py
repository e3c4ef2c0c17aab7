"""How many rows a sync says that it read: as many as its lists show, however often it asks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.changes import Id
from services.ingest.sync import schedule, sync_store
from services.ingest.sync.schedule import BY_THE_CLOCK
from services.ingest.sync.steps import Mode
from shared.pipedrive import client
from tests.support.commands import COMPANY
from tests.support.synchronised import A_USER, Company
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LONG_AGO = timedelta(minutes=30)
QUARTERLY_TOKENS = 110
"""As ADR 14 says: five lists by pages, the archived deals twice as dear, and what is newest."""

Counts = dict[str, dict[str, int]]
"""Of each list, by what is counted."""


def change(company: Company, entity: str, row_id: Id, at: datetime, **fields: Any) -> None:
    """Unheard."""
    table = company.double.account.tables[entity]
    stamped = {"modified" if entity == "user" else "update_time": shapes.seconds(at)}
    table.put({**(table.get(row_id) or {}), **fields, **stamped}, at)


async def read_in_full(company: Company) -> Counts:
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    return company.ended[-1].counts


def assert_read(counts: Counts, before: Counts, **more: int) -> None:
    """All of each list, which has so many rows more than before."""
    for name, added in more.items():
        read = before[name]["read"] + added
        assert (counts[name]["read"], counts[name]["total"]) == (read, read), name


async def test_a_row_that_is_read_again_when_its_second_is_over_counts_once(
    synchronised_company: Company,
) -> None:
    company = synchronised_company
    before = await read_in_full(company)
    account = company.double.account
    person = await account.create("person", {"name": "Ann Other"})
    await account.create("lead", {"title": "A lead", "person_id": person["id"]})
    change(company, "user", company.first("user"), datetime.now(UTC), name="A. Nother")
    company.told.events.clear()

    counts = await read_in_full(company)

    assert company.told.ids("person") == {str(person["id"])}
    assert company.told.ids("user") == {str(company.first("user"))}
    assert_read(counts, before, persons=1, leads=1, users=0)


async def test_a_row_that_is_looked_for_since_its_list_shows_it_no_more_counts_once(
    synchronised_company: Company,
) -> None:
    company = synchronised_company
    before = await read_in_full(company)
    at = datetime.now(UTC) - LONG_AGO
    change(company, "deal", company.first("deal"), at, is_archived=True)

    counts = await read_in_full(company)

    assert_read(counts, before, deals=-1, archivedDeals=1)


async def test_a_short_list_that_was_broken_off_and_is_begun_anew_counts_once(
    synchronised_company: Company,
) -> None:
    """Whoever read it died after the rows were written down, before the next step."""
    company = synchronised_company
    users = (await read_in_full(company))["users"]
    async with company.sync.store() as conn, conn.transaction():
        sync_id, _ = await sync_store.ask(conn, COMPANY, Mode.FULL, A_USER)
        asked = await sync_store.one(conn, COMPANY, sync_id)
        assert asked is not None
        mark = {"step": "whole users", "began": datetime.now(UTC).isoformat()}
        await sync_store.advance(conn, replace(asked, mark=mark, counts={"users": users}))

    async def is_done() -> bool:
        return (await company.stands(sync_id)).state == "done"

    await until(is_done, 30)
    assert (await company.stands(sync_id)).counts["users"] == users


async def test_a_quarterly_delta_that_finds_nothing_costs_what_it_says_however_long_the_lists(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_PER_PAGE", 1)
    monkeypatch.setattr(schedule, "is_thorough", lambda *_: False)
    limits = synchronised_company.double.server.limits
    used = limits.tokens_used

    assert await synchronised_company.syncs(BY_THE_CLOCK) == "done"

    assert synchronised_company.told.ids("person") != set()
    assert synchronised_company.ended[-1].tokens == QUARTERLY_TOKENS
    assert limits.tokens_used - used == QUARTERLY_TOKENS
