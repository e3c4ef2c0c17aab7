"""Leads are listed by offset: none is missed though others leave and move while they are read, nor
though the reading is broken off.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Table
from devstack.pipedrive.changes import Id
from services.ingest.sync import asking, trying
from services.ingest.sync.asking import Asking
from services.ingest.sync.steps import Mode
from shared.pipedrive import paging
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PAGE = 10


async def four_pages_of_leads(company: Company) -> list[Id]:
    """Besides those that there may be."""
    account = company.double.account
    person = company.first("person")
    made = [
        await account.create("lead", {"title": f"Lead {number}", "person_id": person})
        for number in range(4 * PAGE)
    ]
    return [lead["id"] for lead in made]


@pytest.mark.parametrize(
    ("mode", "change"),
    [(Mode.FULL, {"is_archived": True}), (Mode.INCREMENTAL, {"title": "Edited meanwhile"})],
)
async def test_no_lead_is_missed_though_the_first_leaves_its_place_after_each_page(
    synchronised_company: Company,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    change: dict[str, Any],
) -> None:
    account = synchronised_company.double.account
    made = await four_pages_of_leads(synchronised_company)
    listed, changed = lists.v1, []

    def and_then_the_first_changes(
        table: Table, asked: Asked, sight: Sight, *, archived: bool = False
    ) -> bytes:
        shown = listed(table, asked, sight, archived=archived)
        if not archived and len(changed) < 2:
            now = datetime.now(UTC)
            lead = account.living("lead", made[len(changed)])
            changed.append(lead["id"])
            table.put({**lead, **change, "update_time": shapes.millis(now)}, now)
        return shown

    monkeypatch.setattr(lists, "v1", and_then_the_first_changes)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    synchronised_company.told.events.clear()

    assert await synchronised_company.syncs(A_USER, mode) == "done"

    assert len(changed) == 2
    assert synchronised_company.told.ids("lead") >= set(made)


AWAY = {"errors": 1.0}
NOT_UNDERSTOOD = {"refused": 1.0, "status": 400}


@pytest.mark.parametrize(
    ("leaving", "trouble", "following"),
    [
        (0, AWAY, [18, 27, 36]),
        (2, AWAY, [18, 8, 17, 26]),
        (0, NOT_UNDERSTOOD, [0, 9, 18, 27, 36]),
    ],
)
async def test_a_walk_that_was_broken_off_goes_on_from_its_mark_and_finds_what_is_gone(
    synchronised_company: Company,
    monkeypatch: pytest.MonkeyPatch,
    leaving: int,
    trouble: dict[str, Any],
    following: list[int],
) -> None:
    """By who reads the mark anew. So many of the rows that were read leave the list meanwhile."""
    company, leads = synchronised_company, synchronised_company.double.account.tables["lead"]
    made = await four_pages_of_leads(company)
    assert await company.syncs(A_USER, Mode.FULL) == "done"
    before = company.ended[-1].counts["leads"]["read"]
    gone = {made[PAGE // 2], made[-1]}
    for lead in gone:
        leads.purge(lead)
    company.told.events.clear()

    def break_off() -> None:
        for lead in made[:leaving]:
            leads.put({**(leads.get(lead) or {}), "is_archived": True}, datetime.now(UTC))
        company.double.server.faults = Faults(paths="/v1/leads", at_most=1, **trouble)

    pages = after_pages_of_leads(monkeypatch, 2, break_off)
    looked_at = rows_asked_for_by_themselves(monkeypatch)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    monkeypatch.setattr(trying, "TRIES", 1)
    monkeypatch.setattr(trying, "RETRY_AFTER", timedelta(0))

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    assert pages == [0, 9, *following]
    told_gone = {one["entity_id"] for one in company.told.events if one["action"] == "delete"}
    assert told_gone == gone
    assert {f"/v1/leads/{lead}" for lead in gone} <= set(looked_at)
    assert len(looked_at) < len(gone) + leaving + 1  # at most those that moved, besides
    counts = company.ended[-1].counts["leads"]
    assert (counts["read"], counts["total"]) == (before - len(gone),) * 2


async def test_a_list_that_lost_most_of_what_was_read_of_it_has_an_end(
    synchronised_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read backwards from where it ended, and those pages show nothing."""
    company, leads = synchronised_company, synchronised_company.double.account.tables["lead"]
    made = [*await four_pages_of_leads(company), *await four_pages_of_leads(company)]

    def archive_most() -> None:
        for lead in made[PAGE // 2 :]:
            leads.put({**(leads.get(lead) or {}), "is_archived": True}, datetime.now(UTC))

    pages = after_pages_of_leads(monkeypatch, 7, archive_most)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    company.told.events.clear()

    assert await company.syncs(A_USER, Mode.FULL) == "done"

    backwards = [begins for earlier, begins in pairwise(pages) if begins < earlier]
    assert len(backwards) > paging.MOST_IN_VAIN
    assert company.ended[-1].errors == []
    assert company.told.ids("lead") >= set(made)


def after_pages_of_leads(
    monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], None]
) -> list[Any]:
    """Does so as the last of them is shown; where the pages begin that were shown. Who asks for
    one row only asks whether there is such a list.
    """
    listed, pages = lists.v1, list[Any]()

    def and_then(table: Table, asked: Asked, sight: Sight, *, archived: bool = False) -> bytes:
        shown = listed(table, asked, sight, archived=archived)
        if table.entity == "lead" and not archived and asked.limit > 1:
            pages.append(asked.start or 0)
            if len(pages) == count:
                act()
        return shown

    monkeypatch.setattr(lists, "v1", and_then)
    return pages


def rows_asked_for_by_themselves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Their paths, as they are asked for."""
    one, paths = Asking.one, list[str]()

    async def and_noted(self: Asking, path: str) -> Any:
        paths.append(path)
        return await one(self, path)

    monkeypatch.setattr(Asking, "one", and_noted)
    return paths
