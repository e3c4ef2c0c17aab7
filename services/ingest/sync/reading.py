"""Reads a company's lists from Pipedrive into the log: in full, what changed, and the newest.

Rule 1: for each page, the news is published; then what we know, what seems to be missing and our
        position are written in one transaction (see `progress`). That is on disk before `written`
        tells the hearing so.
Rule 2: if Pipedrive no longer understands a mark, the list is read from the start, once: a walk of
        days whose marks expired each night would never end. After that the list counts as refused,
        and the next delta reads it by its times, which continue where they were.
Rule 3: rows that were read within the second of their last change are read again when it is over.
Rule 4: a row that is read again, or requested by its id, was counted when its list showed it.
"""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, TypeAlias

from services.ingest import rows, values
from services.ingest.payload import Json
from services.ingest.sync import comparing, known_store, lists, offsets, sync_store, walked_store
from services.ingest.sync.asking import MOST_IDS, NOTHING_WORKS, Asking, Source, Stopped
from services.ingest.sync.comparing import Compared, Rows
from services.ingest.sync.hearing import LEFT_OUT
from services.ingest.sync.known_store import Stretch
from services.ingest.sync.lists import Kind, List
from services.ingest.sync.offsets import Place
from services.ingest.sync.progress import Progress
from services.ingest.sync.walked_store import Walked
from shared import db, heart, lifecycle
from shared.observability import SYNC_ROWS
from shared.pipedrive.errors import PipedriveRefused

OVERLAP: Final = timedelta(minutes=10)
"""What was being written while we read may become visible later, and our clock may be ahead of
Pipedrive's: beyond this, changes would be missed until the nightly walk. Reading them again rarely
costs another page, and publishes nothing.
"""
ODD_MARK: Final = 400
Part: TypeAlias = Stretch | Walked
NO_MARKS: Final[lists.Params] = MappingProxyType({})
SETTLED_S: Final = rows.SLACK.total_seconds() + 1.5


@dataclass(slots=True)
class Reader:
    asking: Asking
    unsettled: dict[str, set[str]] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        return self.asking.source

    @property
    def progress(self) -> Progress:
        return self.asking.progress

    @property
    def company_id(self) -> int:
        return self.asking.company_id

    # Steps

    async def whole(self, of: List, *, is_last_word: bool = False) -> None:
        """A short list, read in one go, and from its beginning if interrupted."""
        if not is_last_word:
            self.progress.start_over(of)
        async with aclosing(self.asking.pages(of, {})) as pages:
            async for page, asked_at in pages:
                await self.take(Rows(of, page.rows, asked_at, is_last_word, page.odd))
        await self._finish(of)

    async def measure(self, of: List) -> None:
        """Estimate the rows: as many as we know of, or at most as the newest one's number says.
        Numbers can be far apart, so where both are known the first is the better guess.
        """
        page = await self.asking.page(of, {**of.newest(), "limit": 1})
        newest = values.reference(page.rows[0].get("id")) if page.rows else 0
        with db.own(self.source.conn):
            known = await known_store.count(self.source.conn, self.company_id, of.entity, of.name)
        self.progress.expect(of, min(known or newest or 0, newest or 0))
        await self._save()

    async def walk(self, of: List) -> None:
        if not self.progress.mark("ended"):
            await self._walk_on(of)
        await self._finish(of)

    async def delta(self, of: List, since: datetime) -> None:
        """What was updated since then."""
        since -= OVERLAP
        reached = self.progress.mark("reached")
        start = max(since, datetime.fromisoformat(reached)) if reached else since
        async with aclosing(self.asking.pages(of, of.changed(start))) as pages:
            async for page, asked_at in pages:
                times = _times(page.rows, "update_time")
                marks = {}
                if of is not lists.ARCHIVED_LEADS and times:
                    marks["reached"] = max(times).isoformat()
                await self.take(Rows(of, page.rows, asked_at, odd=page.odd), marks=marks)
                if of is lists.ARCHIVED_LEADS and times and min(times) < since:
                    break  # the rest are older still
        await self._finish(of)

    async def newest(self, of: List, since: datetime) -> None:
        """What was added since then, even without an update time. An import may give rows an
        add time years ago: as long as pages bring news, the next one is read. Usually the first
        brings none, so none is prefetched.
        """
        since -= OVERLAP
        async with aclosing(self.asking.pages(of, of.newest(), ahead=False)) as pages:
            async for page, asked_at in pages:
                found = await self.take(Rows(of, page.rows, asked_at, odd=page.odd))
                added = _times(page.rows, "add_time")
                is_older = not added or min(added) < since
                if is_older and not found.records:
                    break
        await self._finish(of)

    async def settle(self) -> None:
        """Read again what was read within the second of its last change; if its list is refused
        by now, the next delta does.
        """
        if any(self.unsettled.values()):
            await self.pause(SETTLED_S)
        for name, ids in self.unsettled.items():
            if name in self.progress.refused:
                continue
            of = lists.ALL[name]
            try:
                await self._settle(of, ids)
            except PipedriveRefused as refused:
                if refused.status in NOTHING_WORKS:
                    raise
                self.progress.refuse(of, refused.sentence)
        self.unsettled.clear()

    async def _settle(self, of: List, ids: Iterable[str]) -> None:
        if of.kind is not Kind.WHOLE:
            await self.ask(of, sorted(ids))
        elif ids:
            await self.whole(of, is_last_word=True)

    async def ask(self, of: List, ids: Sequence[str]) -> set[str]:
        """Read the rows of these ids as they are; returns which of them are in the list."""
        shown: set[str] = set()
        for start in range(0, len(ids), MOST_IDS):
            asked_at = datetime.now(UTC)
            found = await self.asking.by_ids(of, ids[start : start + MOST_IDS])
            await self.take(Rows(of, found, asked_at, is_last_word=True))
            shown |= {str(row.get(of.key)) for row in found}
        return shown

    # Pages

    async def _walk_on(self, of: List) -> None:
        walk = self._walk_by_offset if of.kind is Kind.OFFSET else self._walk_by_number
        try:
            await walk(of)
        except PipedriveRefused as refused:
            is_mark = self.progress.mark("next") is not None and refused.status == ODD_MARK
            if not is_mark or self.progress.mark("anew"):
                raise
            self.progress.start_over(of)
            self.progress.note(anew=True)
            await walk(of)

    async def _walk_by_number(self, of: List) -> None:
        start = self.progress.mark("next")
        after = bytes.fromhex(self.progress.mark("after") or "")
        async with aclosing(self.asking.pages(of, of.in_full(), start)) as pages:
            async for page, asked_at in pages:
                upto = after
                for row in page.rows:
                    number = values.reference(row.get("id"))
                    upto = max(upto, b"" if number is None else of.place(str(number)))
                stretch = Stretch(after, None if page.next is None else upto)
                marks = {"next": page.next, "after": upto.hex(), "ended": page.next is None}
                await self.take(Rows(of, page.rows, asked_at, odd=page.odd), stretch, marks)
                after = upto

    async def _walk_by_offset(self, of: List) -> None:
        place = await self._place(of)
        async with aclosing(self.asking.pages(of, of.in_full(), place=place)) as pages:
            async for page, asked_at in pages:
                is_last = place.start is None
                walked = Walked([place.key(row) for row in page.rows], is_last)
                marks = {"next": place.start, "rows": place.page_rows, "ended": is_last}
                await self.take(Rows(of, page.rows, asked_at, odd=page.odd), walked, marks)

    async def _place(self, of: List) -> Place:
        """Where the walk continues, even if another process came so far."""
        sync_id, start = self.progress.sync.id, self.progress.mark("next")
        sorted_by = offsets.sorted_by(of.in_full())
        with db.own(self.source.conn):
            if start is None:
                self.progress.start_over(of)
                await walked_store.forget(self.source.conn, sync_id, of.name)
                return Place(sorted_by)
            seen = await walked_store.keys(self.source.conn, sync_id, of.name)
        return Place(sorted_by, start, self.progress.mark("rows"), seen)

    # What follows from them

    async def take(
        self, read: Rows, part: Part | None = None, marks: lists.Params = NO_MARKS
    ) -> Compared:
        """Compare rows with what we know, and keep the result; they are part of a walk."""
        heart.beat()
        with db.own(self.source.conn):
            found = await comparing.compare(self.source.conn, self.company_id, read)
        self.unsettled.setdefault(read.of.name, set()).update(found.unsettled)
        await self.keep(read, found, part=part, marks=marks)
        return found

    async def keep(
        self,
        read: Rows,
        found: Compared,
        *,
        part: Part | None = None,
        cleared: Iterable[bytes] = (),
        marks: lists.Params = NO_MARKS,
    ) -> None:
        """Publish what is news, then record that it was."""
        heart.beat()
        if found.records:
            await self.source.backpressure.hold(len(found.records), self.source.stop)
            if self.source.stop.is_set():
                raise Stopped
            await self.source.publisher.publish(found.records)
        heart.beat()
        before = self.progress.sync
        self._count(read, found)
        self.progress.note(**marks)
        try:
            with db.own(self.source.conn):
                async with self.source.conn.transaction():
                    await self._write(read, found, part)
                    places = list(cleared)
                    await known_store.cleared(self.source.conn, before.id, read.of.name, places)
        except BaseException:
            self.progress.sync = before
            raise
        self.source.written.note(found.records)
        heart.beat()
        await self.source.status.running(self.progress.sync)

    def _count(self, read: Rows, found: Compared) -> None:
        numbers = {
            "read": 0 if read.is_last_word else len(read.raw) + read.odd,
            "changed": len(found.records),
            "failed": len(found.failures),
        }
        self.progress.count(read.of, **numbers)
        self.progress.fail(found.failures)
        for what, number in numbers.items():
            SYNC_ROWS.labels(read.of.name, what).inc(number)

    async def _write(self, read: Rows, found: Compared, part: Part | None) -> None:
        conn, entity = self.source.conn, read.of.entity
        await known_store.keep(conn, self.company_id, entity, found.known)
        if entity in LEFT_OUT:
            await known_store.completed(conn, self.company_id, entity, list(found.known))
        if part is not None:
            await self._suspect(read, found, part)
        await sync_store.advance(conn, self.progress.sync)

    async def _suspect(self, read: Rows, found: Compared, part: Part) -> None:
        conn, sync_id, name = self.source.conn, self.progress.sync.id, read.of.name
        listed = (self.company_id, read.of.entity, name)
        if isinstance(part, Stretch):
            asked_us = values.micros(read.asked_at)
            await known_store.suspect(conn, sync_id, listed, part, asked_us, found.places)
            return
        await walked_store.add(conn, sync_id, name, part.keys)
        if part.is_last:
            began_us = values.micros(self.progress.began())
            await walked_store.suspect(conn, sync_id, listed, began_us)
            await walked_store.forget(conn, sync_id, name)

    async def _finish(self, of: List) -> None:
        self.progress.count(of)
        self.progress.expect(of, self.progress.sync.counts[of.name]["read"])
        await self._save()

    async def _save(self) -> None:
        heart.beat()
        with db.own(self.source.conn):
            await sync_store.advance(self.source.conn, self.progress.sync)

    async def pause(self, seconds: float) -> None:
        """Raises:
        Stopped: before it was over.
        """
        if await lifecycle.wait_or_stop(seconds, self.source.stop):
            raise Stopped


def _times(listed: Iterable[Json], name: str) -> list[datetime]:
    """Those that the list is sorted by; a number is none of them, though it could be read as a
    time: it would end the list too early.
    """
    texts = (text for row in listed if isinstance(text := row.get(name), str))
    return [at for text in texts if (at := values.moment(text))]
