"""A spool gives what it took, through damage and full disks, and goes on taking meanwhile."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from services.ingest.spool import slots
from services.ingest.spool.file import NAME, DiskRefused, Waiting
from services.ingest.spool.rescue import BATCH, CURRENT, put_aside
from services.ingest.spool.spool import Handed, Spool
from shared.errors import Unavailable
from shared.kafka.rounds import Record

RECORDS = [Record("t", b"7:%d" % n, b"%d " % n * 200, []) for n in range(1500)]
FILLERS = [Record("t", b"filler", b"x" * 800, [])] * 20
PAGE_BYTES = 4096


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = a_spool(tmp_path)
    await spool.open()
    yield spool
    await spool.close()


def a_spool(root: Path) -> Spool:
    return Spool(partial(slots.claim, root), max_bytes=1 << 30)


async def beside_a_dead_one(root: Path) -> Spool:
    """An open one, beside what a dead instance left: a record."""
    own, dead = a_spool(root), a_spool(root)
    await own.open()
    await dead.open()
    await store(dead, RECORDS[:1])
    await dead.close()
    return own


async def store(spool: Spool, records: Sequence[Record]) -> None:
    """Raises:
    Unavailable: some are not taken.
    """
    loop = asyncio.get_running_loop()
    handed = [Handed(record, loop.create_future()) for record in records]
    spool.take(handed)
    await asyncio.wait([each.acked for each in handed])
    for error in [each.acked.exception() for each in handed]:
        if error is not None:
            raise error


async def everything(spool: Spool) -> list[Record]:
    """All that it gives, removed as far as the disk allows it."""
    found: list[Record] = []
    last: Waiting | None = None
    while batch := await spool.head(last, BATCH, 1 << 20):
        last = batch[-1]
        found += records(batch)
        with suppress(DiskRefused):
            await spool.remove(batch)
    return found


async def filled(spool: Spool) -> list[Record]:
    """What it took until it refused."""
    taken: list[Record] = []
    with suppress(Unavailable):
        while True:
            await store(spool, FILLERS)
            taken += FILLERS
    return taken


async def rescued(spool: Spool) -> None:
    while await spool.rescue():
        pass


def records(waiting: Iterable[Waiting]) -> list[Record]:
    return [each.record for each in waiting]


def spool_file(root: Path) -> Path:
    return root / "1" / CURRENT / NAME


def spoil_the_index(file: Path) -> None:
    """On disk, and in such a way that whoever has the file open reads it again."""
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version = 1")
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'counted'")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    with file.open("r+b") as content:
        content.seek((root[0] - 1) * PAGE_BYTES)
        content.write(b"garbage!" * (PAGE_BYTES // 8))


@contextmanager
def full_disk(file: Path) -> Iterator[None]:
    """No file of this process may grow beyond what the spool has by now."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(each.stat().st_size for each in file.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, unlimited[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


async def nobody(spool: Spool) -> None:
    pass


async def a_look_at_the_oldest(spool: Spool) -> None:
    await spool.oldest()


async def an_append(spool: Spool) -> None:
    await store(spool, [Record("t", b"late", b"late", [])])


@pytest.mark.parametrize("meet", [nobody, a_look_at_the_oldest, an_append])
async def test_damage_between_reading_and_removing_costs_nothing_that_was_not_sent(
    spool: Spool, tmp_path: Path, meet: Callable[[Spool], Awaitable[None]]
) -> None:
    await store(spool, RECORDS)
    sent = await spool.head(None, 1000, 1 << 30)
    spoil_the_index(spool_file(tmp_path))
    await meet(spool)

    await spool.remove(sent)
    await rescued(spool)
    left = await everything(spool)

    assert {each.key for each in [*records(sent), *left]} >= {each.key for each in RECORDS}
    assert (spool.events, spool.bytes, spool.is_spent) == (0, 0, True)


async def test_a_bucket_that_was_changed_ends_nothing(tmp_path: Path) -> None:
    first = a_spool(tmp_path)
    await first.open()
    await store(first, RECORDS)
    await first.close()
    with sqlite3.connect(spool_file(tmp_path)) as other:
        other.execute("UPDATE waiting SET bucket = (bucket + 1) % 1000")
    other.close()
    second = a_spool(tmp_path)
    await second.open()

    assert await everything(second) == RECORDS
    assert (second.events, second.bytes) == (0, 0)
    await second.close()


async def test_reading_begins_again_in_the_file_that_follows_a_damaged_one(
    spool: Spool, tmp_path: Path
) -> None:
    await store(spool, RECORDS)
    sent = await spool.head(None, 1000, 1 << 30)
    spoil_the_index(spool_file(tmp_path))
    await spool.oldest()
    await rescued(spool)

    following = await spool.head(sent[-1], 1, 1)

    assert records(following) == RECORDS[:1]


async def test_records_are_taken_while_damaged_files_are_not_read_yet(tmp_path: Path) -> None:
    first = a_spool(tmp_path)
    await first.open()
    await store(first, RECORDS)
    await first.close()
    put_aside(tmp_path / "1")

    for _ in range(2):  # processes, none of which comes to an end with it
        second = a_spool(tmp_path)
        await second.open()
        assert not second.is_spent
        await store(second, [Record("t", b"new", b"new", [])])
        assert await second.rescue()
        await second.close()
    last = a_spool(tmp_path)
    await last.open()
    await rescued(last)

    found = await everything(last)
    assert [each for each in found if each.key != b"new"] == RECORDS, "each once, and in order"
    assert len(found) == len(RECORDS) + 2
    assert last.is_spent
    await last.close()


async def test_a_full_disk_gives_each_record_once_and_is_free_once_all_are_sent(
    spool: Spool, tmp_path: Path
) -> None:
    await store(spool, RECORDS)
    with full_disk(spool_file(tmp_path)):
        stored = RECORDS + await filled(spool)
        batch = await spool.head(None, 10, 1 << 30)
        with pytest.raises(DiskRefused):
            await spool.remove(batch)
        assert spool.events == len(stored) - 10
        await spool.begin_anew()
        assert await everything(spool) == stored[10:], "what waits is never thrown away"

        assert await everything(spool) == []
        assert spool.keeps_removed
        await spool.begin_anew()

        assert not spool.keeps_removed
        await store(spool, RECORDS[:20])
    assert await everything(spool) == RECORDS[:20]


async def test_a_disk_that_has_room_again_lets_go_of_what_was_removed(
    spool: Spool, tmp_path: Path
) -> None:
    await store(spool, RECORDS)
    batch = await spool.head(None, 1000, 1 << 30)
    with full_disk(spool_file(tmp_path)):
        await filled(spool)
        with pytest.raises(DiskRefused):
            await spool.remove(batch)
    waiting = spool.events

    await spool.remove([])

    assert not spool.keeps_removed
    assert (await spool.head(None, 1, 1))[0].id == batch[-1].id + 1
    assert spool.events == waiting


async def test_a_rescue_that_filled_the_disk_goes_on_once_what_it_moved_is_sent(
    tmp_path: Path,
) -> None:
    first = a_spool(tmp_path)
    await first.open()
    await store(first, RECORDS)
    await first.close()
    put_aside(tmp_path / "1")
    second = a_spool(tmp_path)
    await second.open()
    assert await second.rescue()
    with full_disk(spool_file(tmp_path)):
        taken = await filled(second)
        found = await everything(second)
        assert second.keeps_removed

        await second.begin_anew()

        assert not second.keeps_removed
    await rescued(second)
    assert found + await everything(second) == RECORDS[:BATCH] + taken + RECORDS[BATCH:]
    await second.close()


async def test_an_empty_spool_gives_its_disk_back(spool: Spool, tmp_path: Path) -> None:
    await store(spool, RECORDS)
    assert await everything(spool) == RECORDS
    assert spool.has_gaps

    await spool.begin_anew()

    assert not spool.has_gaps
    assert sum(each.stat().st_size for each in spool_file(tmp_path).parent.iterdir()) < 100_000
    await store(spool, RECORDS[:1])
    assert await everything(spool) == RECORDS[:1]


async def test_what_comes_while_a_file_is_given_back_is_in_the_one_that_follows(
    spool: Spool,
) -> None:
    found: list[Record] = []
    async with asyncio.TaskGroup() as group:
        storing = [group.create_task(store(spool, [each])) for each in RECORDS[:100]]
        for each in RECORDS[100:200]:
            storing.append(group.create_task(store(spool, [each])))
            found += await everything(spool)
            await spool.begin_anew()
    found += await everything(spool)

    assert all(each.done() for each in storing)
    assert found == RECORDS[:200]
