"""The spool of this process: one file, written by one thread, many records a commit.

Rule 1: whoever is told "stored" has its record on disk. What arrives during a commit makes up the
        next one: one fsync for all that wait.
Rule 2: more than `max_bytes` is refused, and so is what the disk refuses. Either is logged once,
        and as long as a similar record would be refused again, the spool is in trouble.
Rule 3: a damaged file is put aside, and work continues at once in a new one. What can be read of
        the damaged one is moved there bit by bit, behind what has arrived meanwhile: a spool may
        hold millions of records, and no webhook waits for so many.
Rule 4: what was removed no longer waits, whether or not the disk deletes it.
Rule 5: while the disk does not answer, records are refused, also those that wait. What was being
        written may be stored all the same: it is sent then, and once more by its sender.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from services.ingest.spool.disk import SILENT, Disk
from services.ingest.spool.file import Damaged, DiskRefused, SpoolFile, Waiting
from services.ingest.spool.ledger import Ledger
from services.ingest.spool.opening import Opened, anew, opened, renewed
from services.ingest.spool.rescue import CURRENT, move
from services.ingest.spool.row import bucket, size
from services.ingest.spool.slots import Slot, orphans
from shared.errors import Unavailable
from shared.kafka.rounds import Acked, Record
from shared.observability import SPOOL_COMMIT_SECONDS, SPOOL_DAMAGED, SPOOL_REFUSED, SPOOL_STORED

log = logging.getLogger(__name__)

T = TypeVar("T")
ROUND = 1_000
"""Most records in one commit."""
TRIED_BYTES = 1024 * 1024
"""Most bytes written to test whether the disk accepts any."""
Why = Literal["closed", "full", "disk"]
"""Reasons to refuse a record."""
UNANSWERED = f"not writable: {SILENT}"


class Handed(NamedTuple):
    """A record, and the future that tells its owner that it is stored."""

    record: Record
    acked: Acked


class Spool:
    """Opened with `open`; until then, or if that failed, it accepts nothing."""

    def __init__(self, claim: Callable[[], Slot], *, max_bytes: int) -> None:
        self.slot: Slot | None = None
        self._trouble: str | None = "not opened yet"
        self._claim = claim
        self._ledger = Ledger()
        self._max_bytes = max_bytes
        self._file: SpoolFile | None = None
        self._disk = Disk(self._refuse_waiting)
        self._asides: list[Path] = []
        self._left: list[Slot] = []
        self._has_gaps = False
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
    def is_spent(self) -> bool:
        """Nothing waits here, or in a damaged file."""
        return self._file is not None and not self.events and not self._asides

    @property
    def has_gaps(self) -> bool:
        """Removed records still take space in the file."""
        return self._has_gaps

    @property
    def keeps_removed(self) -> bool:
        """The disk has not deleted all that was removed."""
        return self._file is not None and self._file.keeps_removed

    @property
    def events(self) -> int:
        return self._ledger.events

    @property
    def bytes(self) -> int:
        return self._ledger.bytes

    @property
    def trouble(self) -> str | None:
        """Why it refuses records; null while it accepts them."""
        if self._disk.is_silent:
            return SILENT
        if self._trouble is not None or self._file is None:
            return self._trouble or "closed"
        if self.bytes >= self._max_bytes or self._is_short:
            return f"full: it holds {self.bytes} bytes"
        return None

    def takes(self, record: Record) -> bool:
        refuses = self._file is None or self._trouble or self._disk.is_silent
        return not refuses and self._has_room(size(record))

    def holds(self, record: Record) -> bool:
        """Something of the record's key may wait here; what a damaged file holds is unknown."""
        return self._ledger.events > 0 and self._ledger.holds(bucket(record))

    async def open(self) -> None:
        """Raises:
        DiskRefused: the disk does not allow it.
        """
        await self._disk.answer(self._open())

    async def close(self, *, leave_nothing: bool = False) -> None:
        """Finish what waits, and release the slot to others; a silent disk keeps both for now."""
        with suppress(DiskRefused):
            await self._disk.answer(self._close(leave_nothing=leave_nothing), anyway=True)

    def take(self, handed: Sequence[Handed]) -> None:
        """Each owner is told when its record is on disk, or gets `Unavailable`."""
        for each in handed:
            length = size(each.record)
            if self._disk.is_silent:
                self._refuse([each], "disk", UNANSWERED)
            elif self._file is None:
                self._refuse([each], "closed", f"closed: {self._trouble}")
            elif not self._has_room(length):
                self._miss(length)
                self._refuse([each], "full", f"full: it holds {self.bytes} bytes")
            else:
                self._ledger.add([(bucket(each.record), length)])
                self._waiting.append(each)
        if self._waiting and self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def head(self, last: Waiting | None, most: int, most_bytes: int) -> list[Waiting]:
        """The records after `last`; from the first one, if that one's file was put aside.

        Raises:
            DiskRefused: the disk fails to return them.
        """

        def following(file: SpoolFile) -> list[Waiting]:
            after = last.id if last is not None and last.file is file else 0
            return file.head(after, most, most_bytes)

        return await self._disk.answer(self._working(following))

    async def remove(self, gone: Sequence[Waiting]) -> None:
        """Records from a file that has been put aside meanwhile come again, from its replacement.

        Raises:
            DiskRefused: the disk does not delete them; they are not returned again all the same.
        """
        own = [each for each in gone if each.file is self._file]
        self._free((each.bucket, each.size) for each in own)
        self._has_gaps = self._has_gaps or bool(own)
        if own or self.keeps_removed:
            work = self._working(lambda file: file.remove(own), writes=True)
            await self._disk.answer(work, anyway=True)  # else it would come again

    async def oldest(self) -> float | None:
        """When the oldest of the waiting records was stored."""
        return await self._disk.answer(self._working(lambda file: file.oldest()))

    async def begin_anew(self) -> None:
        """If nothing waits in the file, replace it, to give its disk space back. On a disk that
        the spool itself has filled no delete works, but this does.

        Raises:
            DiskRefused: the disk does not allow it.
        """
        file = self._file
        if file is None or self.events or (self._asides and not file.keeps_removed):
            return
        try:
            await self._disk.answer(self._follow(file, renewed))
        except Damaged as damaged:
            await self._disk.answer(self._replace(file, str(damaged)))

    async def left_by_others(self, root: Path) -> list[Slot]:
        """Slots of dead instances. Read in the spool's own thread: the event loop's threads look
        up host names, and while no name server answers all of them are blocked.

        Raises:
            DiskRefused: the disk is silent.
        """

        async def look(own: Path) -> None:
            seen = await self._disk.do(lambda: [*orphans(root, own)])
            self._left += seen

        if self.slot is not None:
            await self._disk.answer(look(self.slot.folder))
        found, self._left = self._left, []
        return found

    async def rescue(self) -> bool:
        """Move some of what is readable in damaged files; returns whether there may be more.

        Raises:
            DiskRefused: the disk refuses the write.
            Withheld: the disk fails to read it.
        """
        if not self._asides or not self.is_open:
            return False
        return await self._disk.answer(self._rescue(self._asides[0]))

    async def _rescue(self, aside: Path) -> bool:
        moved = await self._working(lambda file: move(aside, file), writes=True)
        self._ledger.add((each.bucket, each.size) for each in moved.waiting)
        if moved.total is not None:
            self._asides = [each for each in self._asides if each != aside]
            extra = {"aside": aside, "rescued": moved.total}
            log.error("spool_put_aside", extra=extra)
        return bool(self._asides)

    async def try_writing(self) -> None:
        """Test whether the disk accepts again what it refused: an instance that is not ready gets
        no requests that would show it.
        """
        length = self._unwritten_bytes
        if length:
            with suppress(DiskRefused):
                work = self._working(lambda file: file.try_writing(length), writes=True)
                await self._disk.answer(work)

    async def _open(self) -> None:
        async with self._replacing:
            if self._file is not None:
                return  # by a call that nobody waited for any more
            try:
                if self.slot is None:
                    self.slot = await self._disk.do(self._claim)
                found = await self._disk.do(partial(opened, self.slot.folder))
            except DiskRefused as refused:
                self._trouble = str(refused)
                raise
            self._begin(found)

    async def _close(self, *, leave_nothing: bool) -> None:
        while self._writing is not None:
            await asyncio.wait([self._writing])
        async with self._replacing:
            if self._file is not None:
                await self._disk.do(self._file.close)
                self._file = None
            if self.slot is not None:
                if leave_nothing:
                    spent = self.slot.folder / CURRENT
                    await self._disk.do(lambda: shutil.rmtree(spent, ignore_errors=True))
                self.slot.release()
            self._disk.end()

    def _has_room(self, length: int) -> bool:
        return self._ledger.bytes + length <= self._max_bytes

    @property
    def _is_short(self) -> bool:
        """What was refused for lack of space would be again."""
        return self._lacked_bytes > 0 and not self._has_room(self._lacked_bytes)

    def _miss(self, length: int) -> None:
        if not self._is_short:
            self._told.discard("full")
        if length <= self._max_bytes:  # else it could never fit
            self._lacked_bytes = max(self._lacked_bytes, length)

    def _free(self, counts: Iterable[tuple[int, int]]) -> None:
        self._ledger.remove(counts)
        if not self._is_short:
            self._lacked_bytes = 0
            self._told.discard("full")

    def _refuse(self, handed: Sequence[Handed], why: Why, reason: str) -> None:
        for each in handed:
            if not each.acked.done():  # refused before, or its sender has hung up
                SPOOL_REFUSED.labels(why).inc()
                each.acked.set_exception(Unavailable(f"the spool is {reason}"))
        if why not in self._told:
            log.error("spool_refuses", extra={"why": why, "reason": reason})
        self._told.add(why)

    def _refuse_waiting(self) -> None:
        """What is being written keeps its place (rule 5)."""
        refused, self._waiting = self._waiting, []
        self._free(_counts(refused))
        if refused or self._committing:
            self._refuse([*self._committing, *refused], "disk", UNANSWERED)

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
        except DiskRefused as refused:
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
        """Do it on the file; if that is damaged, once more on its replacement.

        A full disk still allows reads: only a write shows that there is room again.
        """
        file = self._file
        if file is None:
            raise DiskRefused(self._trouble or "closed")
        try:
            try:
                result = await self._disk.do(lambda: work(file))
            except Damaged as damaged:
                following = await self._replace(file, str(damaged))
                result = await self._disk.do(lambda: work(following))
        except DiskRefused as refused:
            self._trouble = str(refused)
            if writes:
                self._unwritten_bytes = max(self._unwritten_bytes, 1)
            raise
        except Damaged as damaged:
            self._trouble = f"damaged again: {damaged}"
            raise DiskRefused(self._trouble) from damaged
        if writes:
            self._unwritten_bytes = 0
            self._told.discard("disk")
        if not self._unwritten_bytes:
            self._trouble = None
        return result

    async def _replace(self, damaged: SpoolFile, reason: str) -> SpoolFile:
        """The file that replaces a damaged one."""

        def following(folder: Path, file: SpoolFile) -> Opened:
            log.error("spool_damaged", extra={"slot": folder, "reason": reason})
            return anew(folder, file)

        return await self._follow(damaged, following)

    async def _follow(
        self, file: SpoolFile, make: Callable[[Path, SpoolFile], Opened | None]
    ) -> SpoolFile:
        """The current replacement of a file, which this creates unless another call has."""
        async with self._replacing:
            if self._file is file and self.slot is not None:
                try:
                    found = await self._disk.do(partial(make, self.slot.folder, file))
                except DiskRefused as refused:
                    # `open` tries again later; a file is not put aside over and over.
                    await self._disk.do(file.close)
                    self._file, self._trouble = None, str(refused)
                    raise
                if found is not None:
                    self._begin(found)
            if self._file is None:
                raise DiskRefused(self._trouble or "closed")
            return self._file

    def _begin(self, found: Opened) -> None:
        SPOOL_DAMAGED.inc(len(set(found.asides) - set(self._asides)))
        self._file, self._ledger, self._asides = found
        self._trouble, self._has_gaps = None, False
        self._unwritten_bytes = 0
        self._told.clear()
        self._ledger.add(_counts([*self._committing, *self._waiting]))


def _counts(handed: Iterable[Handed]) -> Iterator[tuple[int, int]]:
    return ((bucket(each.record), size(each.record)) for each in handed)
