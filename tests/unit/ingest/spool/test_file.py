"""Spool files keep what they took, through damage of every kind."""

import os
import random
import resource
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.spool.file import NAME, Damaged, Refused, SpoolFile, bucket, size
from services.ingest.spool.rescue import CURRENT, put_aside, rescue
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


def test_what_was_removed_is_gone_and_the_disk_has_its_place_back(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path)
    file.append([Record("t", b"k", b"x" * 10_000)] * 500)
    file.remove(each.id for each in file.head(0, 1000, 1 << 30)[:499])
    file.shrink()

    assert len(everything(file)) == 1
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 200_000
    file.close()


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


def checkpointed(slot: Path) -> Path:
    """A slot whose records are all in the main file."""
    file = SpoolFile(slot / CURRENT)
    file.append(RECORDS)
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
        assert list(rescue(slot, file))
        assert not list(rescue(slot, file)), "once is enough"
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


def test_a_folder_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(Refused):
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
        except Refused:
            os.write(writing, b"%d" % taken)
        os._exit(0)
    os.waitpid(pid, 0)
    taken = int(os.read(reading, 100))

    assert taken > 0
    assert kept(tmp_path) == RECORDS[:20] * taken
