"""Spool files keep what they took, through damage of every kind."""

import os
import random
import resource
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.spool.file import NAME, Damaged, DiskRefused, SpoolFile
from services.ingest.spool.rescue import BATCH, CURRENT, move, put_aside, unread
from services.ingest.spool.row import bucket, size
from shared.kafka.rounds import Record

RECORDS = [
    Record("pipedrive.persons", b"7:%d" % n, b"%d " % n * 100, [("reason", "é\n".encode())])
    for n in range(400)
]


def kept(folder: Path) -> list[Record]:
    file = SpoolFile(folder)
    found = everything(file)
    file.close()
    return found


def everything(file: SpoolFile) -> list[Record]:
    found: list[Record] = []
    after = 0
    while batch := file.head(after, 50, 1 << 20):
        found += [waiting.record for waiting in batch]
        after = batch[-1].id
    return found


def written(folder: Path, records: Sequence[Record] = RECORDS) -> None:
    """By a process that died: what a clean end tidies up is still there."""
    pid = os.fork()
    if pid == 0:
        file = SpoolFile(folder)
        for start in range(0, len(records), 20):
            file.append(records[start : start + 20])
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b.dlq"]),
            st.none() | st.binary(max_size=9),
            st.binary(max_size=99),
            st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=3),
        ),
        max_size=20,
    )
)
def test_any_record_comes_back_as_it_was(tmp_path: Path, told: list[tuple[object, ...]]) -> None:
    folder = tmp_path / uuid4().hex
    records = [Record(*each) for each in told]  # type: ignore[arg-type]
    file = SpoolFile(folder)
    file.append(records)

    assert everything(file) == records
    assert sorted(file.counts()) == sorted((bucket(each), size(each)) for each in records)
    file.close()


def test_what_was_appended_outlives_a_crash(tmp_path: Path) -> None:
    written(tmp_path)

    assert kept(tmp_path) == RECORDS


def test_what_was_removed_is_given_no_more(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path)
    file.append(RECORDS)
    waiting = file.head(0, 1000, 1 << 30)
    file.remove(waiting[:10] + waiting[20:300])
    file.close()

    assert kept(tmp_path) == RECORDS[10:20] + RECORDS[300:]


def test_only_the_file_that_gave_a_record_removes_it(tmp_path: Path) -> None:
    one, other = SpoolFile(tmp_path / "one"), SpoolFile(tmp_path / "other")
    for file in (one, other):
        file.append(RECORDS)

    other.remove(one.head(0, 10, 1 << 30))

    assert everything(other) == RECORDS
    one.close()
    other.close()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_log_that_was_cut_off_gives_what_was_before_the_cut(
    tmp_path: Path, share: float
) -> None:
    written(tmp_path)
    log = tmp_path / f"{NAME}-wal"
    os.truncate(log, int(log.stat().st_size * share))

    found = kept(tmp_path)

    assert found == RECORDS[: len(found)]
    assert len(found) % 20 == 0
    assert len(found) >= len(RECORDS) * (share - 0.2)


def checkpointed(slot: Path, records: Sequence[Record] = RECORDS) -> Path:
    """A slot whose records are all in the main file."""
    file = SpoolFile(slot / CURRENT)
    file.append(records)
    file.close()
    return slot / CURRENT / NAME


def recovered(slot: Path) -> list[Record]:
    """What is left after the file was met as damaged, or was not."""
    try:
        file = SpoolFile(slot / CURRENT)
        list(file.counts())
        found = everything(file)
        file.close()
    except Damaged:
        put_aside(slot)
        file = SpoolFile(slot / CURRENT)
        (aside,) = unread(slot)
        while move(aside, file).total is None:
            pass
        assert not unread(slot), "once is enough"
        found = everything(file)
        file.close()
    return found


@pytest.mark.parametrize("page", range(0, 60, 3))
def test_a_page_of_garbage_costs_no_more_than_its_own_records(tmp_path: Path, page: int) -> None:
    path = checkpointed(tmp_path)
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        file.seek(page % pages * 4096)
        file.write(random.Random(page).randbytes(4096))  # noqa: S311  garbage

    found = recovered(tmp_path)

    assert [each for each in RECORDS if each in found] == found, "whole, and in order"
    roots = (
        0,
        1,
        2,
        3,
    )  # header, pointers, and the root of the tree: without them no row is found
    assert page % pages in roots or len(found) >= len(RECORDS) - 40


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000, b"SQLite format 3\0" * 9])
def test_a_file_that_is_none_is_put_aside(tmp_path: Path, content: bytes) -> None:
    checkpointed(tmp_path).write_bytes(content)

    assert recovered(tmp_path) == []
    assert content == b"" or [*tmp_path.glob(f"damaged-*/{NAME}")]


def test_a_changed_row_is_noticed(tmp_path: Path) -> None:
    path = checkpointed(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"123 123 123", b"123 124 123"))

    assert recovered(tmp_path) == [each for each in RECORDS if each.key != b"7:123"]


def test_an_impossible_count_is_noticed_and_costs_nothing(tmp_path: Path) -> None:
    path = checkpointed(tmp_path)
    with sqlite3.connect(path) as changed:
        changed.execute("UPDATE waiting SET bucket = -1 WHERE id = 123")
    changed.close()

    file = SpoolFile(path.parent)
    with pytest.raises(Damaged):
        list(file.counts())
    file.close()
    assert recovered(tmp_path) == RECORDS


def test_rows_out_of_their_order_are_noticed_and_never_moved_twice(tmp_path: Path) -> None:
    path = checkpointed(tmp_path)
    content = bytearray(path.read_bytes())
    root = memoryview(content)[4096:8192]
    # The second and the tenth of the pages below it change places.
    cells = [int.from_bytes(root[at : at + 2]) for at in (14, 30)]
    one, other = (bytes(root[at : at + 4]) for at in cells)
    root[cells[0] : cells[0] + 4], root[cells[1] : cells[1] + 4] = other, one
    path.write_bytes(content)

    found = recovered(tmp_path)

    assert [each for each in RECORDS if each in found] == found, "whole, and in order"
    assert 300 < len(found) < len(RECORDS)


def test_a_rescue_goes_on_where_it_was(tmp_path: Path) -> None:
    records = RECORDS * 2
    path = checkpointed(tmp_path, records)
    put_aside(tmp_path)
    (aside,) = unread(tmp_path)
    moved = []
    while not moved or moved[-1].total is None:  # each move by a process of its own
        into = SpoolFile(path.parent)
        moved.append(move(aside, into))
        into.close()

    assert [len(each.waiting) for each in moved] == [BATCH, 300, 0]
    assert moved[-1].total == len(records)
    assert kept(path.parent) == records


def test_a_damaged_row_does_not_hide_what_follows_however_far_the_ids_have_come(
    tmp_path: Path,
) -> None:
    path = checkpointed(tmp_path)
    with sqlite3.connect(path) as changed:
        changed.execute("UPDATE waiting SET id = id + 10000000")
        changed.execute("UPDATE waiting SET value = 'x' WHERE id = 10000001")
    changed.close()

    assert recovered(tmp_path) == RECORDS[1:]


def test_a_folder_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DiskRefused):
        SpoolFile(tmp_path / "file" / "below")


def test_a_full_disk_refuses_and_what_was_taken_stays(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        # No file of this process can grow beyond: the same to SQLite as a disk without space.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
        file = SpoolFile(tmp_path)
        taken = 0
        try:
            for _ in range(1000):
                file.append(RECORDS[:20])
                taken += 1
        except DiskRefused:
            os.write(writing, b"%d" % taken)
        os._exit(0)
    os.waitpid(pid, 0)
    taken = int(os.read(reading, 100))

    assert taken > 0
    assert kept(tmp_path) == RECORDS[:20] * taken


def test_a_file_that_was_deleted_gives_what_it_has_and_takes_no_more(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / CURRENT)
    file.append(RECORDS[:3])
    shutil.rmtree(tmp_path / CURRENT)

    with pytest.raises(DiskRefused):
        file.append(RECORDS[3:])
    with pytest.raises(DiskRefused):
        file.try_writing(1)

    assert everything(file) == RECORDS[:3]
    file.close()
