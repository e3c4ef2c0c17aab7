"""Opens the spool file of a slot, be it the first or one that follows another. Blocking."""

import shutil
from pathlib import Path
from typing import Final, NamedTuple

from services.ingest.spool.file import Damaged, SpoolFile
from services.ingest.spool.ledger import Ledger
from services.ingest.spool.rescue import CURRENT, put_aside, unread

SPENT: Final = "spent"
"""A file of which all was sent, on its way off the disk."""


class Opened(NamedTuple):
    """A file, what waits in it, and the damaged ones that are not wholly read yet."""

    file: SpoolFile
    ledger: Ledger
    asides: list[Path]


def opened(folder: Path) -> Opened:
    """Raises:
    DiskRefused: the disk does not allow it.
    """
    shutil.rmtree(folder / SPENT, ignore_errors=True)
    try:
        file = SpoolFile(folder / CURRENT)
    except Damaged:
        put_aside(folder)
        file = SpoolFile(folder / CURRENT)
    ledger = Ledger()
    try:
        ledger.add(file.counts())
    except Damaged:
        return anew(folder, file)
    return Opened(file, ledger, unread(folder))


def anew(folder: Path, damaged: SpoolFile) -> Opened:
    """What follows a damaged file.

    Raises:
        DiskRefused: the disk does not allow it.
    """
    damaged.close()
    put_aside(folder)
    return opened(folder)


def renewed(folder: Path, file: SpoolFile) -> Opened | None:
    """What follows a file whose records were all removed, and knows as much of damaged files; null
    if they were not, or the disk does not let it go.

    Raises:
        DiskRefused: the disk allows no other.
        Damaged: it is.
    """
    if file.head(0, 1, 0):
        return None
    marks = {aside: file.mark(aside.name) for aside in unread(folder)}
    try:
        (folder / CURRENT).rename(folder / SPENT)
    except OSError:
        return None
    file.close()
    found = opened(folder)
    for aside, mark in marks.items():
        found.file.move([], aside.name, mark)
    return found
