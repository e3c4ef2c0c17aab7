"""Updates the search index with what the projector queued.

Rule 1: the queue and the index change in one transaction, so that a search meets each contact
        once: as indexed, or as queued.
Rule 2: a queued contact is read in its present state; processing it twice changes nothing.
Rule 3: users with few contacts have no index: scanning them costs less than maintaining one.
        Nothing is queued for them (see `beginning`, `recording`).
Rule 4: the loop yields to others: it lets them run between pieces, and pauses for as long as it
        worked, or, during heavy traffic, for many times as long: an import comes first. But never
        for long: the import may end meanwhile, and search is inexact for what it left.
Rule 5: a batch that ran long and failed is followed by a smaller one: Postgres ends a transaction
        that is idle for seconds, and a batch that takes longer to compute, on a busy machine,
        would be retried for ever. Large ones cost less per contact.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from services.query import projection
from services.query.batch import User
from services.query.contact import Key
from services.query.searching import index_store, queue_store, terms
from services.query.searching.beginning import Beginnings
from services.query.searching.index_store import Counters, Current, Indexed
from services.query.searching.postings import Chunk, Moves
from services.query.searching.queue_store import Queued
from services.query.searching.terms import Document, Term
from shared import db, heart, lifecycle
from shared.db import Connection
from shared.errors import Unavailable
from shared.observability import SEARCH_INDEXED

BATCH: Final = 2000
LEAST_BATCH: Final = 250
LONG_S: Final = 5.0
QUICK_S: Final = 1.0
IMPORT_PER_SECOND: Final = 500
IMPORT_REST: Final = 29
"""How many times as long as it worked it pauses while more than `IMPORT_PER_SECOND` arrive."""
IMPORT_LONGEST_S: Final = 15.0
"""A round is a batch for each user of every company: it may take long itself."""
FEW: Final = 1000
"""A user with up to this many contacts has no index."""
EVERY_S: Final = 1.0
LOOK_EVERY_S: Final = 5.0
"""Between two checks for users whose contacts have become many."""
WAIT_S: Final = 0.02
PIECE: Final = 100
MOST_USERS: Final = 1000
"""Per round."""
FIRST: Final = User(-1, -1)
"""Sorts before all users."""
ROWS: Final = 2000
"""Contacts, and rows, between two yields to the event loop."""


def rest_s(worked_s: float, *, is_import: bool) -> float:
    """Pause between two rounds (rule 4)."""
    if not is_import:
        return worked_s
    return max(worked_s, min(worked_s * IMPORT_REST, IMPORT_LONGEST_S))


def batch_size(batch: int, worked_s: float, *, is_full: bool | None, most: int) -> int:
    """Size of the next batch (rule 5). `is_full` is null if this one failed."""
    if is_full is None and worked_s > LONG_S:
        return min(batch, max(batch // 2, LEAST_BATCH))
    if is_full and worked_s < QUICK_S:
        return min(batch * 2, most)
    return batch


class Indexer:
    def __init__(
        self,
        pool: db.Pool,
        *,
        batch: int = BATCH,
        few: int = FEW,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._pool = pool
        self._most = batch
        self._batch = batch
        self._look_every_s = look_every_s
        self._last = FIRST
        self._beginnings = Beginnings(few)

    async def run(self, stop: asyncio.Event) -> None:
        await lifecycle.together((self._build, self._work_off), stop)

    async def _build(self, stop: asyncio.Event) -> None:
        """Build new indexes; concurrently, since a large one takes long."""
        outage = lifecycle.Outage("indexes")
        while not stop.is_set():
            try:
                await self._begin(rest=1, is_stopped=stop.is_set)
            except Unavailable as reason:
                outage.goes_on(reason)
            else:
                outage.is_over()
            await lifecycle.wait_or_stop(self._look_every_s, stop)

    async def _work_off(self, stop: asyncio.Event) -> None:
        outage = lifecycle.Outage("indexer")
        known, since = 0, time.monotonic()
        while not stop.is_set():
            began = time.monotonic()
            try:
                more = await self._batches()
                queued = await self._queued_ever()
            except Unavailable as reason:  # waiting for an answer is not work to pause after
                if await lifecycle.wait_or_stop(outage.goes_on(reason), stop):
                    return
                continue
            outage.is_over()
            now = time.monotonic()
            is_import = queued - known > IMPORT_PER_SECOND * (now - since)
            known, since = queued, now
            rest = rest_s(now - began, is_import=is_import)
            if await lifecycle.wait_or_stop(max(rest, 0.0 if more else EVERY_S), stop):
                return

    async def _queued_ever(self) -> int:
        """Entries of all users since the store was created; rolled-back entries count."""
        with db.errors():
            async with self._pool.acquire() as conn:
                return await queue_store.queued_ever(conn)

    async def drain(self) -> None:
        """Work at full speed until everyone who should has an index, and nothing is queued."""
        while await self.round():
            pass

    async def round(self) -> bool:
        """Build what can be built, and process a batch per user; returns whether there may be
        more to do.
        """
        waits = await self._begin(at_once=True)
        if waits:
            await asyncio.sleep(WAIT_S)
        return await self._batches() or waits

    async def _begin(
        self,
        *,
        at_once: bool = False,
        rest: float = 0,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Build the indexes that can be built; returns whether some have to wait.

        Raises:
            Unavailable: Postgres is away.
        """
        with db.errors():
            async with self._pool.acquire() as conn:
                await self._beginnings.announce(conn, at_once=at_once)
                return await self._beginnings.begin(conn, rest=rest, is_stopped=is_stopped)

    async def _batches(self) -> bool:
        """A batch per user; returns whether more may be queued.

        Raises:
            Unavailable: Postgres is away.
        """
        with db.errors():
            async with self._pool.acquire() as conn:
                users = await self._next_users(conn)
                more = self._last != FIRST
                for user in users:
                    heart.beat()
                    more |= await self._index(conn, user)
        return more

    async def _next_users(self, conn: Connection) -> list[User]:
        """Those after the last round's, if that was full, else from the start: so each user has a
        turn, however many are queued again meanwhile.
        """
        found = await queue_store.users(conn, self._last, MOST_USERS)
        self._last = found[-1] if len(found) == MOST_USERS else FIRST
        return found

    async def _index(self, conn: Connection, user: User) -> bool:
        began = time.monotonic()
        is_full: bool | None = None
        try:
            is_full = await self._work_in(conn, user)
        finally:
            worked_s = time.monotonic() - began
            self._batch = batch_size(self._batch, worked_s, is_full=is_full, most=self._most)
        return is_full

    async def _work_in(self, conn: Connection, user: User) -> bool:
        """A batch; returns whether it was full."""
        async with conn.transaction():
            if not await queue_store.take(conn, user):
                return False
            counters = await index_store.counters(conn, user)
            if counters is None:  # announced, but not built yet
                return False
            entries = await queue_store.queued(conn, user, self._batch)
            moved = await queue_store.moved(conn, user, self._batch)
            contacts = {e.contact_id for e in entries if e.contact_id is not None}
            renamed = {e.organization_id for e in entries if e.organization_id is not None}
            work = Work(conn, user, counters)
            if contacts:
                renamed |= await work.contacts(sorted(contacts))
            if renamed:
                await work.organizations(sorted(renamed))
            if moved:
                await work.moved(sorted({slot for _, slot in moved}))
                await queue_store.moved_done(conn, user, [entry for entry, _ in moved])
            await index_store.set_counters(conn, user, work.counters)
            late = [entry for entry in entries if entry.contact_id in work.misplaced]
            await queue_store.done(conn, user, set(entries) - set(late))
        SEARCH_INDEXED.inc(len(contacts))
        if late:
            await _refresh(conn, user, sorted(work.misplaced), late)
        return self._batch in (len(entries), len(moved))


async def _refresh(
    conn: Connection, user: User, contacts: Sequence[UUID], entries: Iterable[Queued]
) -> None:
    """Update the places of contacts that moved while they were assigned their slots. Until then
    they stay queued, and so are searched by their rows.
    """
    async with conn.transaction():
        persons = await index_store.persons(conn, user.company_id, contacts)
        await projection.lock_persons(conn, [Key(user.company_id, p) for p in persons])
        await index_store.refresh_slots(conn, user, contacts)
        await queue_store.done(conn, user, entries)


@dataclass(slots=True)
class Work:
    """A batch for one user, in the caller's transaction."""

    conn: Connection
    user: User
    counters: Counters
    misplaced: set[UUID] = field(default_factory=set)

    async def contacts(self, wanted: Sequence[UUID]) -> set[UUID]:
        """Returns the organizations whose indexed name is outdated."""
        held = await index_store.indexed(self.conn, self.user, wanted)
        found = await index_store.current(self.conn, self.user, wanted)
        names, outdated = await self._names(held.values(), found.values())
        slots = await self._slots(held, found)
        moves = Moves()
        for number, contact_id in enumerate(wanted):
            before, after = held.get(contact_id), found.get(contact_id)
            if before is not None and after is not None and before.place != after.place:
                self.misplaced.add(contact_id)
            # The bucket of what is already indexed is changed by `moved` alone.
            bucket = before.bucket if before else after.bucket if after else 0
            was, now = _terms(before, names, bucket), _terms(after, names, bucket)
            if was != now:
                moves.move(slots[contact_id], was, now)
            if number % PIECE == PIECE - 1:
                await asyncio.sleep(0)
        await self._write_slots(held, found, slots)
        await self._write(moves)
        return outdated

    async def moved(self, slots: Sequence[int]) -> None:
        """Index slots under their present buckets."""
        moves = Moves()
        fresh: list[tuple[int, int]] = []
        for slot, before, after in await index_store.buckets(self.conn, self.user, slots):
            if before != after:
                moves.move(slot, {terms.bucket(before)}, {terms.bucket(after)})
                fresh.append((slot, after))
        await index_store.set_buckets(self.conn, self.user, fresh)
        await self._apply(moves)

    async def organizations(self, wanted: Sequence[UUID]) -> None:
        """Index the contacts of organizations under their present names."""
        named = await index_store.names(self.conn, self.user, wanted)
        current = await index_store.current_names(self.conn, self.user.company_id, wanted)
        moves = Moves()
        for organization_id, old in named.items():
            before = terms.of_organization(old)
            after = terms.of_organization(current[organization_id])
            if before != after:
                chunks = await index_store.all_chunks(
                    self.conn, self.user, *terms.member(organization_id)
                )
                moves.move_all(chunks, before, after)
        await index_store.set_names(self.conn, self.user, {o: current[o] for o in named})
        await self._write(moves)

    async def _names(
        self, held: Iterable[Indexed], found: Iterable[Current]
    ) -> tuple[dict[UUID, str | None], set[UUID]]:
        """The names to index by, and the organizations whose name has changed."""
        now = {c.document.organization_id for c in found} - {None}
        wanted = sorted(o for o in now | {i.document.organization_id for i in held} if o)
        named = await index_store.names(self.conn, self.user, wanted)
        current = await index_store.current_names(self.conn, self.user.company_id, wanted)
        fresh = {o: current[o] for o in wanted if o not in named}
        await index_store.set_names(self.conn, self.user, fresh)
        outdated = {o for o, name in named.items() if o in now and name != current[o]}
        return named | fresh, outdated

    async def _slots(
        self, held: Mapping[UUID, Indexed], found: Mapping[UUID, Current]
    ) -> dict[UUID, int]:
        """For every contact that has a slot, or gets one."""
        slots = {contact_id: each.slot for contact_id, each in held.items()}
        fresh = [contact_id for contact_id in found if contact_id not in held]
        if fresh:
            free = await index_store.free_slots(self.conn, self.user, len(fresh))
            start, missing = self.counters.next_slot, len(fresh) - len(free)
            slots |= zip(fresh, [*free, *range(start, start + missing)], strict=True)
            self.counters = self.counters._replace(next_slot=start + missing)
        return slots

    async def _write_slots(
        self,
        held: Mapping[UUID, Indexed],
        found: Mapping[UUID, Current],
        slots: Mapping[UUID, int],
    ) -> None:
        fresh = [(slots[c], c, *found[c].place) for c in found if c not in held]
        gone = [each.slot for contact_id, each in held.items() if contact_id not in found]
        documents = [
            (slots[c], each.document, each.bucket)
            for c, each in found.items()
            if c not in held or held[c].document != each.document
        ]
        await index_store.add_slots(self.conn, self.user, fresh)
        await index_store.set_documents(self.conn, self.user, documents)
        await index_store.drop_slots(self.conn, self.user, gone)

    async def _write(self, moves: Moves) -> None:
        if not moves.chunks():
            return
        await self._apply(moves)
        counted = moves.counts(terms.WORD_KINDS)
        known = await index_store.known_words(self.conn, self.user, list(counted))
        fresh = sorted(set(counted) - known)
        first = self.counters.next_word
        slots = {word: first + number for number, word in enumerate(fresh)}
        rows = [(word, slots.get(word, 0), by) for word, by in sorted(counted.items())]
        await index_store.count_words(self.conn, self.user, rows)
        letters = Moves()
        for word, slot in slots.items():
            letters.move(slot, set(), terms.of_word(word))
        self.counters = self.counters._replace(next_word=first + len(fresh))
        await self._apply(letters)

    async def _apply(self, moves: Moves) -> None:
        """Write the chunks with these moves applied."""
        chunks = sorted(moves.chunks())
        if not chunks:
            return
        await asyncio.sleep(0)
        stored = await index_store.postings(self.conn, self.user, chunks)
        await asyncio.sleep(0)
        changed: dict[Chunk, bytes] = {}
        for number, (chunk, slots) in enumerate(moves.changed(stored)):
            changed[chunk] = slots
            if number % ROWS == ROWS - 1:
                await asyncio.sleep(0)
        await index_store.set_postings(self.conn, self.user, changed)


def _terms(
    row: Indexed | Current | None, names: Mapping[UUID, str | None], bucket: int
) -> set[Term]:
    if row is None:
        return set()
    document: Document = row.document
    name = names.get(document.organization_id) if document.organization_id else None
    return terms.of_contact(document, name) | {terms.bucket(bucket)}
