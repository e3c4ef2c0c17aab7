"""One spool file: records on disk, oldest first, in SQLite. Blocking; one thread at a time.

Rule 1: what `append` has returned from survives a crash of the process and of the machine: WAL
        with synchronous=FULL, so each commit is one fsync, however many records it has.
Rule 2: a row proves itself by a checksum; one that does not is as bad as a file that cannot be
        read: `Damaged`. SQLite itself leaves out what a torn write left at the end of its log.
"""

import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from services.ingest.spool.ledger import BUCKETS
from shared.kafka.rounds import Record

NAME: Final = "spool.db"

OVERHEAD_BYTES: Final = 64
"""What SQLite keeps beside a record, about."""
DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})

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
# All that counting needs, at the right-hand edge of a small tree: to open a large file is quick.
COUNTED: Final = "CREATE INDEX IF NOT EXISTS counted ON waiting (id, bucket, bytes, stored_at)"

APPEND: Final = """
INSERT INTO waiting (stored_at, bucket, bytes, checksum, topic, key, headers, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
HEAD: Final = """
SELECT id, bucket, bytes, checksum, topic, key, headers, value
  FROM waiting
 WHERE id > ?
 ORDER BY id
 LIMIT ?
"""
ONE: Final = """
SELECT id, bucket, bytes, checksum, topic, key, headers, value FROM waiting WHERE id = ?
"""
COUNT: Final = "SELECT bucket, bytes FROM waiting INDEXED BY counted"
OLDEST: Final = "SELECT stored_at FROM waiting ORDER BY id LIMIT 1"
REMOVE: Final = "DELETE FROM waiting WHERE id = ?"
# Not a record: no reader ever sees it.
TRIAL: Final = "CREATE TABLE trial AS SELECT randomblob(?) AS filler"
TRIED: Final = "DROP TABLE IF EXISTS trial"


class Damaged(Exception):
    """The file is not, or not wholly, what was written to it."""


class Refused(Exception):
    """The disk does not take it: it is full, or read-only, or broken."""


class Waiting(NamedTuple):
    """A record in the file."""

    id: int
    bucket: int
    size: int
    record: Record


def bucket(record: Record) -> int:
    """Records of a key share a bucket; a bucket has many keys."""
    return zlib.crc32(record.key or record.value) % BUCKETS


def size(record: Record) -> int:
    headers = sum(len(name) + len(text) for name, text in record.headers)
    return len(record.value) + len(record.key or b"") + headers + OVERHEAD_BYTES


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise Damaged("it was put aside") from error  # closed, by whoever met the damage first
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        kind = Damaged if code in DAMAGE else Refused
        raise kind(f"{name}: {error}") from error
    except OSError as error:
        raise Refused(f"{type(error).__name__}: {error.strerror}") from error


class SpoolFile:
    """An open file."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Raises:
        Damaged: there is one, and it is not ours or not whole.
        Refused: the folder cannot be written.
        """
        self._folder = folder
        mode = "ro" if read_only else "rwc"
        with _errors():
            folder.mkdir(parents=True, exist_ok=True)
            # Autocommit: transactions begin where they are said to.
            self._db = sqlite3.connect(
                f"{(folder / NAME).absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=1.0,
            )
            if read_only:
                return
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA journal_size_limit = 8388608")
        self._db.execute("PRAGMA cell_size_check = ON")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(SCHEMA)
        self._db.execute(COUNTED)
        self._db.execute("COMMIT")
        # The names of the files, too, must be on disk before anyone is told 2xx.
        for folder in (self._folder, self._folder.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        self._db.close()

    def counts(self) -> Iterator[tuple[int, int]]:
        """Bucket and size of every record."""
        with _errors():
            yield from self._db.execute(COUNT)

    def oldest(self) -> float | None:
        """When the first of the records was stored."""
        with _errors():
            row = self._db.execute(OLDEST).fetchone()
        return row[0] if row is not None else None

    def append(self, records: Sequence[Record]) -> None:
        """All or none; on disk when it returns."""
        now = time.time()
        rows = [_row(record, now) for record in records]
        with self._transaction():
            self._db.executemany(APPEND, rows)

    def head(self, after: int, most: int, most_bytes: int) -> list[Waiting]:
        """The records that follow an id, at least one if there is any."""
        found: list[Waiting] = []
        total = 0
        with _errors():
            for row in self._db.execute(HEAD, (after, most)):
                waiting = _waiting(*row)
                total += waiting.size
                if found and total > most_bytes:
                    break
                found.append(waiting)
        return found

    def remove(self, ids: Iterable[int]) -> None:
        with self._transaction():
            self._db.executemany(REMOVE, ((each,) for each in ids))

    def try_writing(self, length: int) -> None:
        """Commit so many bytes and take them back.

        Raises:
            Refused: the disk does not take them.
        """
        with self._transaction():
            self._db.execute(TRIED)
            self._db.execute(TRIAL, (length,))
        with self._transaction():
            self._db.execute(TRIED)

    def shrink(self) -> None:
        """Give the disk back what the records took that have left."""
        with _errors():
            # As a script: `execute` would stop at the first page.
            self._db.executescript("PRAGMA incremental_vacuum;")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # some failures have rolled back by themselves
                    self._db.execute("ROLLBACK")
                raise

    def one(self, number: int) -> Waiting | None:
        with _errors():
            row = self._db.execute(ONE, (number,)).fetchone()
        return _waiting(*row) if row is not None else None


def _row(record: Record, now: float) -> tuple[object, ...]:
    topic, key, value, headers = record
    # Header bytes are text to us; this spelling takes any.
    told = orjson.dumps([[name, text.decode("latin-1")] for name, text in headers])
    checksum = _checksum(topic, key, told, value)
    return (now, bucket(record), size(record), checksum, topic, key, told, value)


def _waiting(number: int, place: int, length: int, checksum: int, *parts: object) -> Waiting:
    topic, key, told, value = parts
    if not (
        isinstance(topic, str)
        and isinstance(told, bytes)
        and isinstance(value, bytes)
        and isinstance(key, bytes | None)
        and _checksum(topic, key, told, value) == checksum
    ):
        raise Damaged(f"row {number} is not what was written")
    headers = [(name, text.encode("latin-1")) for name, text in orjson.loads(told)]
    return Waiting(number, place, length, Record(topic, key, value, headers))


def _checksum(topic: str, key: bytes | None, told: bytes, value: bytes) -> int:
    whole = b"\0".join((topic.encode(), b"" if key is None else b"=" + key, told, value))
    return zlib.crc32(whole)
