"""Leads are listed by offset: none is missed though others leave and move while they are read."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devstack.pipedrive import shapes
from devstack.pipedrive.api import lists
from devstack.pipedrive.api.asking import Asked
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Order, Table
from services.ingest.sync import reading
from services.ingest.sync.steps import Mode
from tests.support import synchronised
from tests.support.infra import Infra
from tests.support.synchronised import A_USER, Company

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PAGE = 10


@pytest.fixture
async def company(
    infra: Infra, database_url: str, redis_url: str, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Company]:
    asked = (infra, database_url, redis_url, topic_prefix, tmp_path)
    async with synchronised.company(*asked) as made:
        yield made


@pytest.mark.parametrize(
    ("mode", "change"),
    [(Mode.FULL, {"is_archived": True}), (Mode.INCREMENTAL, {"title": "Edited meanwhile"})],
)
async def test_no_lead_is_missed_though_the_first_leaves_its_place_after_each_page(
    company: Company, monkeypatch: pytest.MonkeyPatch, mode: Mode, change: dict[str, Any]
) -> None:
    account = company.double.account
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
    monkeypatch.setattr(reading, "MOST_PER_PAGE", PAGE)
    company.told.events.clear()

    assert await company.syncs(A_USER, mode) == "done"

    assert len(changed) == 2
    assert company.told.ids("lead") >= {lead["id"] for lead in made}
