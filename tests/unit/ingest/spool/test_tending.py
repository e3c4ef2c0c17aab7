"""What is tried each second is said once, and no loop waits for what others do."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.ingest.spool.spools import Spools
from services.ingest.spool.tending import Tending
from tests.support.waiting import until
from tests.unit.ingest.spool.test_spool import a_spool, beside_a_dead_one


async def test_a_spool_that_cannot_be_opened_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "spool"
    place.write_bytes(b"in its place")
    spools = Spools(a_spool(place))
    tending = Tending(spools, place)

    for _ in range(3):
        await tending.open_own()
    place.unlink()
    await tending.open_own()

    assert [record.message for record in caplog.records] == ["spool_not_opened"]
    assert spools.own.is_open
    await spools.close()


async def test_what_the_dead_left_is_taken_over_while_no_host_can_be_looked_up(
    tmp_path: Path,
) -> None:
    """Look-ups have the event loop's own threads, and a name server that is silent keeps them."""
    spools, stop, is_answered = (
        Spools(await beside_a_dead_one(tmp_path)),
        asyncio.Event(),
        threading.Event(),
    )
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    lookup = loop.run_in_executor(None, is_answered.wait)

    async def is_taken_over() -> bool:
        return spools.events == 1

    async with asyncio.TaskGroup() as group:
        group.create_task(Tending(spools, tmp_path).run(stop))
        try:
            await until(is_taken_over, 10)
        finally:
            is_answered.set()
            stop.set()
    await lookup
    await spools.close()
