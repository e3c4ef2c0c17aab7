"""Puts damaged spool files aside, and moves what can still be read of them. Blocking.

Rule 1: a damaged file is moved away as a whole, by one rename, and never written again.
Rule 2: it counts as dealt with once a note beside it says so.
Rule 3: how far it is read is committed with what was read: after any interruption, work resumes
        there, and nothing is duplicated unless the file it was moved to is damaged as well.
Rule 4: records are read in batches, and one by one only where a batch fails: the spool has one
        thread, and webhooks wait for it meanwhile.
"""

import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Final, NamedTuple

from services.ingest.spool.file import (
    NAME,
    Damaged,
    DiskRefused,
    Mark,
    SpoolFile,
    Unreadable,
    Waiting,
)

CURRENT: Final = "current"
ASIDE: Final = "damaged-"
NOTE: Final = "rescued"
BATCH: Final = 500
BATCH_BYTES: Final = 1024 * 1024
LARGEST_GAP: Final = 100_000
"""How far beyond the last id found ids are tried."""
TRIES: Final = 500
"""Most ids tried in one move: one by one they take their time, too."""


class Withheld(Exception):
    """The disk cannot read a damaged file at the moment."""


class Read(NamedTuple):
    """What was read next, if anything, and how far that is; null: to the end."""

    waiting: list[Waiting]
    mark: Mark | None


class Moved(NamedTuple):
    """What was moved, and, once done, how many of the file's records were in total."""

    waiting: list[Waiting]
    total: int | None


THE_END: Final = Read([], None)


def put_aside(slot: Path) -> None:
    """Raises:
    DiskRefused: the disk does not allow it; the file is where it was.
    """
    try:
        (slot / CURRENT).rename(slot / f"{ASIDE}{time.time_ns()}")
    except OSError as error:
        raise DiskRefused(f"{type(error).__name__}: {error.strerror}") from error


def unread(slot: Path) -> list[Path]:
    """The damaged files of a slot that are not dealt with yet, oldest first."""
    return [each for each in sorted(slot.glob(f"{ASIDE}*")) if not (each / NOTE).exists()]


def move(aside: Path, into: SpoolFile) -> Moved:
    """Move the next readable records. When none is left, the note is written.

    Raises:
        Withheld: not now.
        DiskRefused: the disk refuses them.
        Damaged: `into` is damaged as well.
    """
    before = into.mark(aside.name)
    waiting, mark = _read(aside, before)
    into.move([each.record for each in waiting], aside.name, mark or before)
    if mark is not None:
        return Moved(waiting, None)
    try:
        (aside / NOTE).write_text(f"{before.records}\n")
    except OSError as error:
        raise DiskRefused(f"{type(error).__name__}: {error.strerror}") from error
    return Moved([], before.records)


def _read(aside: Path, mark: Mark) -> Read:
    if not (aside / NAME).exists():
        return THE_END
    try:
        damaged = SpoolFile(aside, read_only=True)
        try:
            return _many(damaged, mark)
        finally:
            damaged.close()
    except Damaged:
        return THE_END  # no row of it can be found
    except Unreadable:
        return THE_END  # the disk returns no more of it: what it returned counts
    except DiskRefused as refused:
        raise Withheld(str(refused)) from refused


def _many(damaged: SpoolFile, mark: Mark) -> Read:
    most = BATCH
    while most:
        try:
            found = damaged.head(mark.last, most, BATCH_BYTES)
        except Damaged:
            most //= 2
        else:
            return _found(found, mark) if found else THE_END
    return _one(damaged, mark)


def _one(damaged: SpoolFile, mark: Mark) -> Read:
    """Where batch reading fails, ids are tried one by one until one is found."""
    last = mark.last
    for number in islice(_numbers(damaged, last), TRIES):
        last = number
        try:
            found = damaged.one(number)
        except Damaged:
            continue
        if found is not None:
            return _found([found], mark)
    missed = mark.missed + TRIES
    return Read([], Mark(last, mark.records, missed)) if missed < LARGEST_GAP else THE_END


def _found(waiting: list[Waiting], mark: Mark) -> Read:
    return Read(waiting, Mark(waiting[-1].id, mark.records + len(waiting), 0))


def _numbers(damaged: SpoolFile, last: int) -> Iterator[int]:
    """Those in the index, as far as it is sound; then all that follow."""
    try:
        while (following := damaged.following(last)) is not None:
            yield following
            last = following
    except Damaged:
        pass  # the ids are counted up instead
    yield from count(last + 1)
