"""Who waits for the tables of what is offered to users, and how long."""

import asyncio
from pathlib import Path

import pytest

from services.ingest import preparing
from services.ingest.preparing import Prepared
from services.ingest.settings import IngestSettings
from shared.errors import Unavailable


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return Prepared(IngestSettings(tenants_file=tmp_path / "tenants.json"))


async def test_who_asks_a_moment_too_early_waits(prepared: Prepared) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(prepared.has_tables("the sync"))
        asyncio.get_running_loop().call_soon(prepared.tables.set)

    assert asked.result() is None


async def test_nobody_waits_for_long(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PATIENCE_S", 0.01)

    with pytest.raises(Unavailable, match="the sync do not exist yet"):
        await prepared.has_tables("the sync")
