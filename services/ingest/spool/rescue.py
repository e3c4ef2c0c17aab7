"""Puts damaged spool files aside, and reads out of them what can still be read. Blocking.

Rule 1: a damaged file is moved away as a whole, by one rename, and never written again.
Rule 2: it counts as dealt with once a note beside it says so; a crash before that begins anew,
        and what was rescued already is there twice, which readers bear.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from services.ingest.spool.file import Damaged, Refused, SpoolFile, Waiting
from shared.kafka.rounds import Record

CURRENT: Final = "current"
ASIDE: Final = "damaged-"
NOTE: Final = "rescued"
BATCH: Final = 500
LARGEST_GAP: Final = 100_000
"""Ids that are looked for beyond the last that was found."""


class Rescue(NamedTuple):
    """What became of a damaged file."""

    aside: Path
    rescued: int


def put_aside(slot: Path) -> None:
    """Raises:
    Refused: the disk does not take it; the file is where it was.
    """
    try:
        (slot / CURRENT).rename(slot / f"{ASIDE}{time.time_ns()}")
    except OSError as error:
        raise Refused(f"{type(error).__name__}: {error.strerror}") from error


def rescue(slot: Path, into: SpoolFile) -> Iterator[Rescue]:
    """Deal with every damaged file of a slot that was not dealt with.

    Raises:
        Refused: the disk does not take what was rescued.
        Damaged: `into` is damaged as well.
    """
    for aside in sorted(slot.glob(f"{ASIDE}*")):
        if (aside / NOTE).exists():
            continue
        rescued = 0
        for records in _batches(aside):
            into.append(records)
            rescued += len(records)
        try:
            (aside / NOTE).write_text(f"{rescued}\n")
        except OSError as error:
            raise Refused(f"{type(error).__name__}: {error.strerror}") from error
        yield Rescue(aside, rescued)


def _batches(aside: Path) -> Iterator[list[Record]]:
    try:
        damaged = SpoolFile(aside, read_only=True)
    except (Damaged, Refused):
        return
    batch: list[Record] = []
    try:
        for record in _readable(damaged):
            batch.append(record)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except Refused:
        pass  # the disk gives no more of it: what it gave counts
    finally:
        damaged.close()
    if batch:
        yield batch


def _readable(damaged: SpoolFile) -> Iterator[Record]:
    """In order. Where reading on fails, ids are tried one by one until one is found."""
    last = 0
    while True:
        try:
            following = damaged.head(last, 1, 0)
        except Damaged:
            following = _beyond(damaged, last)
        if not following:
            return
        last = following[0].id
        yield following[0].record


def _beyond(damaged: SpoolFile, last: int) -> list[Waiting]:
    for number in range(last + 1, last + 1 + LARGEST_GAP):
        try:
            found = damaged.one(number)
        except Damaged:
            continue
        if found is not None:
            return [found]
    return []
