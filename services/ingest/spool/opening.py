"""Opens a slot's spool file, whether it is the first or replaces another. Blocking."""

import shutil
from pathlib import Path
from typing import Final, NamedTuple

from services.ingest.spool.file import Damaged, SpoolFile
from services.ingest.spool.ledger import Ledger
from services.ingest.spool.rescue import CURRENT, put_aside, unread

SPENT: Final = "spent"
"""A file whose records have all been sent, about to be deleted."""


class Opened(NamedTuple):
    """A file, what waits in it, and the damaged ones that are not fully read yet."""

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
    """The file that replaces a damaged one.

    Raises:
        DiskRefused: the disk does not allow it.
    """
    damaged.close()
    put_aside(folder)
    return opened(folder)


def renewed(folder: Path, file: SpoolFile) -> Opened | None:
    """The file that replaces one whose records were all removed, with its notes on damaged files;
    null if some were not, or the disk cannot delete it.

    Raises:
        DiskRefused: the disk allows no new file.
        Damaged: the file is damaged.
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
