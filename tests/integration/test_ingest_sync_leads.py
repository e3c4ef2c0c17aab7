"""Leads are listed by offset: none is missed though others leave and move while they are read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Order, Table
from services.ingest.sync import asking
from services.ingest.sync.steps import Mode
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PAGE = 10


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
    person = next(account.tables["person"].walk(Order.ID))
    made = [
        await account.create("lead", {"title": f"Lead {number}", "person_id": person})
        for number in range(3 * PAGE)
    ]
    listed, changed = lists.v1, []

    def and_then_the_first_changes(
        table: Table, asked: Asked, sight: Sight, *, archived: bool = False
    ) -> bytes:
        shown = listed(table, asked, sight, archived=archived)
        if not archived and len(changed) < 2:
            now = datetime.now(UTC)
            lead = account.living("lead", made[len(changed)]["id"])
            changed.append(lead["id"])
            table.put({**lead, **change, "update_time": shapes.millis(now)}, now)
        return shown

    monkeypatch.setattr(lists, "v1", and_then_the_first_changes)
    monkeypatch.setattr(asking, "MOST_PER_PAGE", PAGE)
    synchronised_company.told.events.clear()

    assert await synchronised_company.syncs(A_USER, mode) == "done"

    assert len(changed) == 2
    assert synchronised_company.told.ids("lead") >= {lead["id"] for lead in made}
