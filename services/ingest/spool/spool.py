"""The spool of this process: one file, written by one thread, many records a commit.

Rule 1: who is told "stored" has its record on disk. What comes while a commit is under way makes
        up the next: one fsync for all that wait.
Rule 2: more than `max_bytes` are refused, and so is what the disk does not take. Either is said
        once, and for as long as the like of it would be refused again, the spool is in trouble.
Rule 3: a damaged file is put aside, what can be read of it is kept, and work goes on in a file
        that follows.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from services.ingest.spool.file import Damaged, Refused, SpoolFile, Waiting, bucket, size
from services.ingest.spool.ledger import Ledger
from services.ingest.spool.rescue import CURRENT, Rescue, put_aside, rescue
from services.ingest.spool.slots import Slot
from shared.errors import Unavailable
from shared.kafka.rounds import Acked, Record
from shared.observability import (
    SPOOL_COMMIT_SECONDS,
    SPOOL_DAMAGED,
    SPOOL_REFUSED,
    SPOOL_STORED,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
ROUND = 1_000
"""Records in one commit, at most."""
TRIED_BYTES = 1024 * 1024
"""Most that is written to see whether the disk takes it."""
Why = Literal["closed", "full", "disk"]
"""What refuses a record."""


class Handed(NamedTuple):
    """A record, and what tells its owner that it is stored."""

    record: Record
    acked: Acked


class Opened(NamedTuple):
    file: SpoolFile
    ledger: Ledger
    rescued: Sequence[Rescue]


class Spool:
    """Opens with `open`; until then, and where that failed, it takes nothing."""

    def __init__(self, claim: Callable[[], Slot], *, max_bytes: int) -> None:
        self.slot: Slot | None = None
        self._trouble: str | None = "not opened yet"
        self._claim = claim
        self._ledger = Ledger()
        self._max_bytes = max_bytes
        self._file: SpoolFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._replacing = asyncio.Lock()
        self._waiting: list[Handed] = []
        self._committing: Sequence[Handed] = ()
        self._writing: asyncio.Task[None] | None = None
        self._told: set[Why] = set()
        self._lacked_bytes = 0
        self._unwritten_bytes = 0

    @property
    def is_open(self) -> bool:
        return self._file is not None

    @property
    def events(self) -> int:
        return self._ledger.events

    @property
    def bytes(self) -> int:
        return self._ledger.bytes

    @property
    def trouble(self) -> str | None:
        """Why it takes no more; null while it does."""
        if self._trouble is not None or self._file is None:
            return self._trouble or "closed"
        if self.bytes >= self._max_bytes or self._is_short:
            return f"full: it holds {self.bytes} bytes"
        return None

    def takes(self, record: Record) -> bool:
        return self._file is not None and not self._trouble and self._has_room(size(record))

    def holds(self, record: Record) -> bool:
        """Something of the record's key may wait here."""
        return self._ledger.events > 0 and self._ledger.holds(bucket(record))

    async def open(self) -> None:
        """Raises:
        Refused: the disk does not allow it.
        """
        try:
            if self.slot is None:
                self.slot = await self._in_thread(self._claim)
            opened = await self._in_thread(partial(_open, self.slot.folder))
        except Refused as refused:
            self._trouble = str(refused)
            raise
        self._begin(opened)

    async def close(self, *, leave_nothing: bool = False) -> None:
        """Finish what waits, and let another instance have the slot."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        if self._file is not None:
            await self._in_thread(self._file.close)
            self._file = None
        self._thread.shutdown(wait=False)
        if self.slot is not None:
            if leave_nothing:
                shutil.rmtree(self.slot.folder / CURRENT, ignore_errors=True)
            self.slot.release()

    def take(self, handed: Sequence[Handed]) -> None:
        """Each is told when it is on disk, or `Unavailable`."""
        for each in handed:
            length = size(each.record)
            if self._file is None:
                self._refuse([each], "closed", f"closed: {self._trouble}")
            elif not self._has_room(length):
                self._miss(length)
                self._refuse([each], "full", f"full: it holds {self.bytes} bytes")
            else:
                self._ledger.add([(bucket(each.record), length)])
                self._waiting.append(each)
        if self._waiting and self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def head(self, after: int, most: int, most_bytes: int) -> list[Waiting]:
        """The records that follow an id.

        Raises:
            Refused: the disk does not give them.
        """
        return await self._working(lambda file: file.head(after, most, most_bytes))

    async def remove(self, gone: Sequence[Waiting]) -> None:
        """Raises:
        Refused: the disk does not allow it: they would come again.
        """
        ledger = self._ledger
        await self._working(lambda file: file.remove([each.id for each in gone]), writes=True)
        if ledger is self._ledger:  # else it counts what was rescued
            self._free((each.bucket, each.size) for each in gone)

    async def oldest(self) -> float | None:
        """When the first record was stored, of those that wait."""
        return await self._working(lambda file: file.oldest())

    async def shrink(self) -> None:
        await self._working(lambda file: file.shrink())

    async def try_writing(self) -> None:
        """Find out whether the disk takes again what it refused: who is not ready is sent nothing
        that would show it.
        """
        length = self._unwritten_bytes
        if length:
            with suppress(Refused):
                await self._working(lambda file: file.try_writing(length), writes=True)

    def _has_room(self, length: int) -> bool:
        return self._ledger.bytes + length <= self._max_bytes

    @property
    def _is_short(self) -> bool:
        """What was refused for want of room would be again."""
        return self._lacked_bytes > 0 and not self._has_room(self._lacked_bytes)

    def _miss(self, length: int) -> None:
        if not self._is_short:
            self._told.discard("full")
        if length <= self._max_bytes:  # else no room would ever do
            self._lacked_bytes = max(self._lacked_bytes, length)

    def _free(self, counts: Iterable[tuple[int, int]]) -> None:
        self._ledger.remove(counts)
        if not self._is_short:
            self._lacked_bytes = 0
            self._told.discard("full")

    def _refuse(self, handed: Sequence[Handed], why: Why, reason: str) -> None:
        for each in handed:
            SPOOL_REFUSED.labels(why).inc()
            if not each.acked.done():
                each.acked.set_exception(Unavailable(f"the spool is {reason}"))
        if why not in self._told:
            log.error("spool_refuses", extra={"why": why, "reason": reason})
        self._told.add(why)

    async def _write(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:ROUND], self._waiting[ROUND:]
                self._committing = taken
                await self._commit(taken)
        finally:
            self._committing = ()
            self._writing = None

    async def _commit(self, taken: Sequence[Handed]) -> None:
        records = [each.record for each in taken]
        began = time.perf_counter()
        try:
            await self._working(lambda file: file.append(records), writes=True)
        except Refused as refused:
            lengths = sum(length for _, length in _counts(taken))
            self._unwritten_bytes = max(self._unwritten_bytes, min(lengths, TRIED_BYTES))
            self._free(_counts(taken))
            self._refuse(taken, "disk", f"not writable: {refused}")
            return
        SPOOL_COMMIT_SECONDS.observe(time.perf_counter() - began)
        SPOOL_STORED.inc(len(taken))
        for each in taken:
            if not each.acked.done():
                each.acked.set_result(None)

    async def _working(self, work: Callable[[SpoolFile], T], *, writes: bool = False) -> T:
        """Do it on the file; if that is damaged, once more on the one that follows.

        A full disk gives what it has: only a write shows that it takes some again.
        """
        file = self._file
        if file is None:
            raise Refused(self._trouble or "closed")
        try:
            try:
                result = await self._in_thread(lambda: work(file))
            except Damaged as damaged:
                following = await self._replace(file, str(damaged))
                result = await self._in_thread(lambda: work(following))
        except Refused as refused:
            self._trouble = str(refused)
            if writes:
                self._unwritten_bytes = max(self._unwritten_bytes, 1)
            raise
        except Damaged as damaged:
            self._trouble = f"damaged again: {damaged}"
            raise Refused(self._trouble) from damaged
        if writes:
            self._unwritten_bytes = 0
            self._told.discard("disk")
        if not self._unwritten_bytes:
            self._trouble = None
        return result

    async def _replace(self, damaged: SpoolFile, reason: str) -> SpoolFile:
        """The file that follows a damaged one."""
        async with self._replacing:
            if self._file is damaged and self.slot is not None:
                folder = self.slot.folder
                log.error("spool_damaged", extra={"slot": folder, "reason": reason})
                opened = await self._in_thread(lambda: _anew(folder, damaged))
                self._begin(opened)
            if self._file is None:
                raise Refused(self._trouble or "closed")
            return self._file

    def _begin(self, opened: Opened) -> None:
        self._file, self._ledger, self._trouble = opened.file, opened.ledger, None
        self._unwritten_bytes = 0
        self._told.clear()
        self._ledger.add(_counts([*self._committing, *self._waiting]))
        for each in opened.rescued:
            SPOOL_DAMAGED.inc()
            extra = {"aside": each.aside, "rescued": each.rescued}
            log.error("spool_put_aside", extra=extra)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _counts(handed: Iterable[Handed]) -> Iterator[tuple[int, int]]:
    return ((bucket(each.record), size(each.record)) for each in handed)


def _open(folder: Path) -> Opened:
    try:
        file = SpoolFile(folder / CURRENT)
    except Damaged:
        put_aside(folder)
        file = SpoolFile(folder / CURRENT)
    rescued = list(rescue(folder, file))
    ledger = Ledger()
    try:
        ledger.add(file.counts())
    except Damaged:
        return _anew(folder, file)
    return Opened(file, ledger, rescued)


def _anew(folder: Path, damaged: SpoolFile) -> Opened:
    damaged.close()
    put_aside(folder)
    return _open(folder)
