"""One spool file: records on disk, oldest first, in SQLite. Blocking; one thread at a time.

Rule 1: what `append` has returned from survives a crash of the process and of the machine: WAL
        with synchronous=FULL, so each commit is one fsync, however many records it has.
Rule 2: each row carries a checksum; a row that fails it is as bad as a file that cannot be read:
        `Damaged`. SQLite itself discards a torn write at the end of its log.
Rule 3: what was removed is never returned again, even where the disk cannot delete it: deleting
        takes room in SQLite's log, and a full disk has none. Memory remembers it until then.
Rule 4: a record is removed from the file that returned it, and from no other: ids start over in
        each.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from services.ingest.spool import row
from services.ingest.spool.runs import Runs
from shared.kafka.rounds import Record

NAME: Final = "spool.db"

SWEPT: Final = 5_000
"""Most rows deleted at once: a full disk may have left millions behind."""
DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
UNREADABLE: Final = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    id        INTEGER PRIMARY KEY,
    stored_at REAL    NOT NULL,
    bucket    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    checksum  INTEGER NOT NULL,
    topic     TEXT    NOT NULL,
    key       BLOB,
    headers   BLOB    NOT NULL,
    value     BLOB    NOT NULL
)
"""
# All that counting needs, in a small tree: opening a large file is quick.
COUNTED: Final = "CREATE INDEX IF NOT EXISTS counted ON waiting (id, bucket, bytes, stored_at)"
# How far damaged files whose records are moved here have been read. Few files need it, and
# opening one on a full disk must not take room.
MARKS: Final = """
CREATE TABLE IF NOT EXISTS marks (
    aside   TEXT    PRIMARY KEY,
    last    INTEGER NOT NULL,
    records INTEGER NOT NULL,
    missed  INTEGER NOT NULL
)
"""

APPEND: Final = """
INSERT INTO waiting (stored_at, bucket, bytes, checksum, topic, key, headers, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
HEAD: Final = """
SELECT id, checksum, topic, key, headers, value
  FROM waiting
 WHERE id > ?
 ORDER BY id
 LIMIT ?
"""
ONE: Final = """
SELECT id, checksum, topic, key, headers, value FROM waiting WHERE id = ?
"""
COUNT: Final = "SELECT bucket, bytes FROM waiting INDEXED BY counted"
NEXT: Final = """
SELECT id, stored_at FROM waiting INDEXED BY counted WHERE id > ? ORDER BY id LIMIT 1
"""
REMOVE: Final = "DELETE FROM waiting WHERE id BETWEEN ? AND ?"
HAS_MARKS: Final = "SELECT 1 FROM sqlite_master WHERE name = 'marks'"
MARK: Final = "SELECT last, records, missed FROM marks WHERE aside = ?"
SET_MARK: Final = "INSERT OR REPLACE INTO marks (aside, last, records, missed) VALUES (?, ?, ?, ?)"
# The smallest read that shows whether it is a database.
TABLES: Final = "SELECT COUNT(*) FROM sqlite_master"
# Not a record: nobody ever reads it.
TRIAL: Final = "CREATE TABLE trial AS SELECT randomblob(?) AS filler"
TRIED: Final = "DROP TABLE IF EXISTS trial"


class Damaged(Exception):
    """The file does not hold what was written to it, or not all of it."""


class DiskRefused(Exception):
    """The disk refuses the write: it is full, or read-only, or broken."""


class Unreadable(DiskRefused):
    """The disk fails to return what it should hold."""


class Waiting(NamedTuple):
    """A record in the file."""

    file: "SpoolFile"
    id: int
    bucket: int
    size: int
    record: Record


class Mark(NamedTuple):
    """How far a damaged file is read: the last id tried, how many records were found, and how many
    ids were tried in vain since the last of them.
    """

    last: int
    records: int
    missed: int


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        # Closed, by whoever met the damage first.
        raise Damaged("it has been put aside") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise _kind(code)(f"{name}: {error}") from error
    except OSError as error:
        raise DiskRefused(f"{type(error).__name__}: {error.strerror}") from error


def _kind(code: int) -> type[Damaged | DiskRefused]:
    if code & 0xFF in DAMAGE:
        return Damaged
    return Unreadable if code in UNREADABLE else DiskRefused


class SpoolFile:
    """An open file."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Raises:
        Damaged: there is a file, and it is not ours or not whole.
        DiskRefused: the folder cannot be written.
        """
        self._folder = folder
        self._gone = Runs()
        mode = "ro" if read_only else "rwc"
        with _errors():
            folder.mkdir(parents=True, exist_ok=True)
            # Autocommit: transactions begin only where the code says so.
            self._db = sqlite3.connect(
                f"{(folder / NAME).absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=1.0,
            )
            try:
                if read_only:
                    self._db.execute(TABLES).fetchone()
                else:
                    self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA journal_size_limit = 8388608")
        self._db.execute("PRAGMA cell_size_check = ON")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(SCHEMA)
        self._db.execute(COUNTED)
        self._db.execute("COMMIT")
        # The names of the files must also be on disk before any 2xx is sent.
        for folder in (self._folder, self._folder.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._place = self._found()

    def _found(self) -> tuple[int, int]:
        there = (self._folder / NAME).stat()
        return there.st_dev, there.st_ino

    def _check_place(self) -> None:
        """A deleted file still accepts writes, which end with the process.

        Raises:
            OSError: the file is no longer there under its name.
        """
        if self._found() != self._place:
            raise FileNotFoundError(errno.ENOENT, "the spool's file was deleted or replaced")

    def close(self) -> None:
        self._db.close()

    def counts(self) -> Iterator[tuple[int, int]]:
        """Bucket and size of every record."""
        with _errors():
            for count in self._db.execute(COUNT):
                if not row.is_count(*count):
                    raise Damaged("the index is not what was written")
                yield count

    @property
    def keeps_removed(self) -> bool:
        """The disk has not deleted all that was removed."""
        return bool(self._gone)

    def oldest(self) -> float | None:
        """When the first of the records was stored."""
        found = self._next(0)
        return found[1] if found is not None else None

    def following(self, after: int) -> int | None:
        """The id that follows another, whether or not its record can be read."""
        found = self._next(after)
        return found[0] if found is not None else None

    def _next(self, after: int) -> tuple[int, float] | None:
        with _errors():
            while found := self._db.execute(NEXT, (after,)).fetchone():
                number, stored_at = found
                if not (type(number) is int and type(stored_at) is float and number > after):
                    raise Damaged("the index is not what was written")
                last = self._gone.last_of(number)
                if last is None:
                    return number, stored_at
                after = last
        return None

    def append(self, records: Sequence[Record]) -> None:
        """All or none; on disk when it returns."""
        with self._transaction():
            self._append(records)

    def move(self, records: Sequence[Record], aside: str, mark: Mark) -> None:
        """Append what was read from a damaged file, and how far that has been read."""
        with self._transaction():
            self._append(records)
            self._db.execute(MARKS)
            self._db.execute(SET_MARK, (aside, *mark))

    def _append(self, records: Sequence[Record]) -> None:
        self._check_place()
        now = time.time()
        self._db.executemany(APPEND, (row.written(record, now) for record in records))

    def mark(self, aside: str) -> Mark:
        found = None
        with _errors():
            if self._db.execute(HAS_MARKS).fetchone():
                found = self._db.execute(MARK, (aside,)).fetchone()
        return Mark(*found) if found is not None else Mark(0, 0, 0)

    def head(self, after: int, most: int, most_bytes: int) -> list[Waiting]:
        """The records after an id, at least one if there is any."""
        while True:
            after = self._gone.last_of(after + 1) or after
            found = self._rows(after, most, most_bytes)
            waiting = [each for each in found if each.id not in self._gone]
            if waiting or not found:
                return waiting
            after = found[-1].id

    def _rows(self, after: int, most: int, most_bytes: int) -> list[Waiting]:
        found: list[Waiting] = []
        total = 0
        with _errors():
            for columns in self._db.execute(HEAD, (after, most)):
                waiting = self._waiting(*columns)
                if waiting.id <= after:  # continuing from there would loop for ever
                    raise Damaged(f"row {waiting.id} is out of its order")
                after = waiting.id
                total += waiting.size
                if found and total > most_bytes:
                    break
                found.append(waiting)
        return found

    def remove(self, gone: Iterable[Waiting]) -> None:
        """Raises:
        DiskRefused: the disk does not delete them, or not all that were removed before.
        """
        for each in gone:
            if each.file is self:
                self._gone.add(each.id)
        runs = self._gone.first(SWEPT)
        if runs:
            with self._transaction():
                self._db.executemany(REMOVE, runs)
            self._gone.drop(runs[-1][1])

    def try_writing(self, length: int) -> None:
        """Commit so many bytes and roll them back.

        Raises:
            DiskRefused: the disk does not accept them.
        """
        with self._transaction():
            self._check_place()
            self._db.execute(TRIED)
            self._db.execute(TRIAL, (length,))
        with self._transaction():
            self._db.execute(TRIED)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # some failures roll back by themselves
                    self._db.execute("ROLLBACK")
                raise

    def one(self, number: int) -> Waiting | None:
        with _errors():
            found = self._db.execute(ONE, (number,)).fetchone()
        return self._waiting(*found) if found is not None else None

    def _waiting(self, number: int, *columns: object) -> Waiting:
        record = row.read(*columns)
        if record is None:
            raise Damaged(f"row {number} is not what was written")
        return Waiting(self, number, row.bucket(record), row.size(record), record)
