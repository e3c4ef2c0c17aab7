"""Slots of the spool folder are held by one process each, and left by the dead."""

import os
from pathlib import Path

from services.ingest.spool.file import NAME
from services.ingest.spool.rescue import CURRENT
from services.ingest.spool.slots import claim, orphans


def test_two_instances_never_have_the_same_slot(tmp_path: Path) -> None:
    first, second = claim(tmp_path), claim(tmp_path)

    assert first.folder != second.folder

    first.release()
    assert claim(tmp_path).folder == first.folder


def test_only_what_the_dead_left_is_an_orphan(tmp_path: Path) -> None:
    mine, living = claim(tmp_path), claim(tmp_path)
    pid = os.fork()
    if pid == 0:
        dying = claim(tmp_path)
        (dying.folder / CURRENT).mkdir()
        (dying.folder / CURRENT / NAME).write_bytes(b"")
        claim(tmp_path)  # left empty
        os._exit(0)
    os.waitpid(pid, 0)

    found = [slot.folder for slot in orphans(tmp_path, mine.folder)]

    assert found == [tmp_path / "3"]
    assert living.folder not in found
