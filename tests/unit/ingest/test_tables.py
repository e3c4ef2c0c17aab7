"""Who waits for the tables of what is offered to users, and how long."""

import asyncio

import pytest

from services.ingest import tables
from shared.errors import Unavailable


async def test_who_asks_a_moment_too_early_waits() -> None:
    prepared = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(tables.there(prepared, "the sync"))
        asyncio.get_running_loop().call_soon(prepared.set)

    assert asked.result() is None


async def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PATIENCE_S", 0.01)

    with pytest.raises(Unavailable, match="the sync are not there yet"):
        await tables.there(asyncio.Event(), "the sync")
