"""A disk that does not answer holds up nobody, and what it was asked takes effect in the end."""

import asyncio
from pathlib import Path

import pytest

from services.ingest.spool.disk import SILENT
from services.ingest.spool.file import NAME, DiskRefused
from services.ingest.spool.rescue import CURRENT
from services.ingest.spool.slots import LOCK
from services.ingest.spool.spool import ROUND, Spool
from services.ingest.spool.spools import Spools
from services.ingest.spool.tending import Tending
from shared.errors import Unavailable
from tests.support.leases import unanswered
from tests.support.waiting import until
from tests.unit.ingest.spool.test_spool import (
    RECORDS,
    a_spool,
    beside_a_dead_one,
    everything,
    store,
)

SENDERS_WAIT_S = 10.0


async def answers(spool: Spool) -> bool:
    return spool.trouble is None


async def test_records_are_refused_and_what_was_being_written_waits_in_the_spool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, dead = a_spool(tmp_path), tmp_path / "2"
    await spool.open()
    await store(spool, RECORDS[:1])
    (dead / CURRENT).mkdir(parents=True)
    (dead / CURRENT / NAME).touch()

    with unanswered(dead / LOCK) as is_met:
        looking = asyncio.create_task(spool.left_by_others(tmp_path))
        await until(is_met)
        async with asyncio.timeout(SENDERS_WAIT_S):
            with pytest.raises(Unavailable, match=SILENT):
                await store(spool, RECORDS[1:2])
            with pytest.raises(DiskRefused, match=SILENT):
                await looking
            with pytest.raises(Unavailable, match=SILENT):
                await store(spool, RECORDS[2:3])
            with pytest.raises(DiskRefused, match=SILENT):
                await spool.head(None, 1, 1)
        assert (spool.trouble, spool.takes(RECORDS[3])) == (SILENT, False)
    await until(lambda: answers(spool))
    (slot,) = await spool.left_by_others(tmp_path)
    slot.release()
    await store(spool, RECORDS[3:4])

    assert [each.message for each in caplog.records] == ["spool_silent", "spool_refuses"]
    assert await everything(spool) == [RECORDS[0], RECORDS[1], RECORDS[3]]
    assert (spool.events, spool.bytes) == (0, 0)
    await spool.close()


async def test_what_waited_is_forgotten_and_what_was_sent_meanwhile_does_not_come_again(
    tmp_path: Path,
) -> None:
    spool = a_spool(tmp_path)
    await spool.open()
    await store(spool, RECORDS[:1])
    sent = await spool.head(None, 1, 1)

    with unanswered(tmp_path / "2" / LOCK) as is_met:
        (tmp_path / "2" / CURRENT).mkdir()
        (tmp_path / "2" / CURRENT / NAME).touch()
        looking = asyncio.create_task(spool.left_by_others(tmp_path))
        await until(is_met)
        with pytest.raises(Unavailable, match=SILENT):
            await store(spool, RECORDS[1:])
        with pytest.raises(DiskRefused, match=SILENT):
            await spool.remove(sent)
        with pytest.raises(DiskRefused, match=SILENT):
            await looking
    await until(lambda: answers(spool))

    assert await everything(spool) == RECORDS[1 : 1 + ROUND]
    assert (spool.events, spool.bytes) == (0, 0)
    await spool.close()


async def test_a_spool_is_opened_once_the_disk_answers_and_its_owner_does_not_wait_for_it(
    tmp_path: Path,
) -> None:
    spools = Spools(a_spool(tmp_path))
    tending = Tending(spools, tmp_path)

    async def is_open() -> bool:
        return spools.own.is_open

    with unanswered(tmp_path / "1" / LOCK):
        async with asyncio.timeout(SENDERS_WAIT_S):
            await tending.open_own()
        assert (spools.own.is_open, spools.own.trouble) == (False, SILENT)
    await until(is_open)

    await store(spools.own, RECORDS[:1])
    assert await everything(spools.own) == RECORDS[:1]
    await spools.close()


async def test_what_the_dead_left_is_taken_over_however_long_its_disk_takes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spools, stop = Spools(await beside_a_dead_one(tmp_path)), asyncio.Event()

    async def is_given_up() -> bool:
        return [each.trouble for each in spools.taken_over] == [SILENT]

    async def is_taken_over() -> bool:
        return spools.events == 1

    async with asyncio.TaskGroup() as group:
        group.create_task(Tending(spools, tmp_path).run(stop))
        try:
            with unanswered(tmp_path / "2" / CURRENT / NAME):
                await until(is_given_up)
            await until(is_taken_over)
        finally:
            stop.set()
    assert "spool_adopted" in [each.message for each in caplog.records]
    await spools.close()
