"""Which instance owns which part of the spool folder.

Rule 1: a slot belongs to whoever holds the lock on its file; the kernel releases the lock when the
        holder dies, however it dies. So two instances never share a file.
Rule 2: what a dead instance left is taken over by any live one.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.ingest.spool.file import NAME, DiskRefused
from services.ingest.spool.rescue import ASIDE, CURRENT, NOTE

LOCK: Final = "lock"
MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Slot:
    """Held until `release`."""

    folder: Path
    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


def claim(root: Path) -> Slot:
    """The first slot that nobody holds.

    Raises:
        DiskRefused: the folder cannot be written, or has no slot left.
    """
    try:
        for number in range(1, MOST + 1):
            slot = _lock(root / str(number), make=True)
            if slot is not None:
                return slot
    except OSError as error:
        raise DiskRefused(f"{root}: {type(error).__name__}: {error.strerror}") from error
    raise DiskRefused(f"{root}: all {MOST} slots are taken")


def orphans(root: Path, own: Path) -> Iterator[Slot]:
    """Slots that hold something and whose owners are gone."""
    try:
        for folder in sorted(root.iterdir()):
            if folder == own or not _holds_something(folder):
                continue
            slot = _lock(folder, make=False)
            if slot is not None:
                yield slot
    except OSError:
        return  # the folder is gone, or unreadable: there is nothing to take over


def _holds_something(folder: Path) -> bool:
    unread = (aside for aside in folder.glob(f"{ASIDE}*") if not (aside / NOTE).exists())
    return (folder / CURRENT / NAME).exists() or any(unread)


def _lock(folder: Path, *, make: bool) -> Slot | None:
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Slot(folder, descriptor)
