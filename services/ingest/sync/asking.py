"""The calls that one run of a sync makes to Pipedrive, and what they cost.

Rule 1: each call uses the credential that the tenants file has by then; a company that it no
        longer names is not read.
Rule 2: a page that is returned is paid for, and so is a row that was requested individually, even
        if it is not there.
Rule 3: by offset, a page that was read in vain since rows left the list is followed by an earlier
        one, until there is none: it counts neither way (`Course`).
Rule 4: after a page that got no answer, pages get smaller, so that a list whose rows are too many
        for Pipedrive at a time can be read all the same; after some pages they grow again, since
        each costs the same.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from services.ingest.sync import lists
from services.ingest.sync.backpressure import Backpressure
from services.ingest.sync.lists import Kind, List
from services.ingest.sync.offsets import Place, sorted_by
from services.ingest.sync.progress import Progress
from services.ingest.sync.status import Status
from services.ingest.sync.written import Written
from shared import db, heart
from shared.kafka.publisher import Publisher
from shared.pipedrive import costs
from shared.pipedrive.budget import Purpose
from shared.pipedrive.client import MOST_PER_PAGE, Clients, Credential, Page, Pipedrive
from shared.pipedrive.errors import PipedriveRefused, Unanswered
from shared.pipedrive.paging import Course

MOST_IDS: Final = 100
FEWER: Final = (1, 5, 25)
"""Divisors of the page size, by how often pages got no answer."""
EASED_PAGES: Final = 5
NOTHING_WORKS: Final = frozenset({401, 402, 409})
"""The token, the account or the connection is not accepted: no list can be read."""


class Stopped(Exception):
    """The process is stopping; the sync resumes from its mark."""


class Source(NamedTuple):
    """Where one run of a sync reads from and writes to; `conn` is its claim."""

    clients: Clients
    conn: db.Connection
    publisher: Publisher
    backpressure: Backpressure
    written: Written
    status: Status
    stop: asyncio.Event


@dataclass(slots=True)
class Asking:
    """`eased` is how often the page size has been reduced."""

    source: Source
    progress: Progress
    eased: int = 0
    _pages: int = 0

    @property
    def company_id(self) -> int:
        return self.progress.sync.company_id

    @property
    def client(self) -> Pipedrive:
        """Raises:
        NotConnected: the tenants file has no token of the company, or no longer has one.
        """
        return self.source.clients.of(self.company_id, Purpose.SYNC)

    def credential(self) -> Credential:
        """The one for the next call. Raises as `client`."""
        return self.source.clients.credential(self.company_id)

    async def page(self, of: List, params: lists.Params) -> Page:
        found = await self.client.page(of.path, params)
        self._spend(of)
        return found

    async def pages(
        self,
        of: List,
        params: lists.Params,
        start: str | int | None = None,
        *,
        ahead: bool = True,
        place: Place | None = None,
    ) -> AsyncGenerator[tuple[Page, datetime], None]:
        """Each page, and a moment before it was requested: the next one may be requested as soon
        as one has arrived. A list by offset continues at a `place`, which moves with each page;
        for others `start` is a mark.
        """
        asked_at = datetime.now(UTC)
        if of.kind is Kind.OFFSET:
            shown = self._by_offset(of, params, place or Place(sorted_by(params)))
        else:
            shown = self._by_cursor(of, params, start, ahead=ahead)
        async with aclosing(shown) as pages:
            async for page in pages:
                heart.beat()
                came_at = datetime.now(UTC)
                if self.source.stop.is_set():
                    raise Stopped
                self.source.clients.of(self.company_id)  # raises if the file no longer names it
                self._spend(of)
                yield page, asked_at
                asked_at = came_at

    async def by_ids(self, of: List, ids: Sequence[str]) -> list[Any]:
        """Those of the rows that exist and are visible to us."""
        if of.kind is Kind.NUMBERED:
            page = await self.page(of, {"ids": ids, "limit": MOST_IDS})
            return list(page.rows)
        found = []
        for each in ids:
            try:
                found.append(await self.one(f"{lists.OF_ENTITY[of.entity].path}/{each}"))
            except PipedriveRefused as refused:
                if refused.status in NOTHING_WORKS:
                    raise
        return [row for row in found if isinstance(row, dict)]

    async def one(self, path: str) -> Any:
        """Raises:
        PipedriveRefused: it does not exist, or is not visible to us.
        """
        heart.beat()
        tokens = costs.call("GET", path).tokens
        try:
            found = await self.client.get(path)
        except PipedriveRefused:
            self.progress.spend(tokens)
            raise
        self.progress.spend(tokens)  # only what was answered counts as a sign of life
        return found

    async def is_answered(self, of: List) -> bool:
        """Whether Pipedrive answers for the list at all, even if only to refuse it."""
        heart.beat()
        try:
            await self.page(of, {"limit": 1})
        except Unanswered:
            return False
        except PipedriveRefused as refused:
            return refused.status not in NOTHING_WORKS
        return True

    def ease(self) -> None:
        """A page got no answer."""
        self.eased, self._pages = min(self.eased + 1, len(FEWER) - 1), 0

    async def _by_cursor(
        self, of: List, params: lists.Params, start: str | int | None, *, ahead: bool
    ) -> AsyncGenerator[Page, None]:
        """While pages are small none is prefetched: the next may be larger."""
        while True:
            eased = self.eased
            asked = {**params, "limit": self._rows()} if eased else params
            is_ahead = ahead and not eased
            pages = self.client.pages(of.path, asked, start=start, ahead=is_ahead, key=of.key)
            async with aclosing(pages) as shown:
                async for page in shown:
                    self._note_page()
                    start = page.next
                    yield page
                    if self.eased != eased:
                        break
            if start is None:
                return

    async def _by_offset(
        self, of: List, params: lists.Params, place: Place
    ) -> AsyncGenerator[Page, None]:
        course = Course()
        while place.start is not None:
            start, rows = place.start, self._rows()
            found = await self.client.page(of.path, {"limit": rows, **params, "start": start})
            self._note_page()
            page = place.handed_on(found)
            goes_back = isinstance(page.next, int) and page.next < start
            # Beyond the end of a list that shrank there are no rows, and no next page either.
            is_moved = goes_back and (found.rows or found.next is None)
            if page.next is not None and not is_moved:
                course.note(is_new=bool(page.rows), share=rows / MOST_PER_PAGE)
            yield page

    def _rows(self) -> int:
        return max(1, MOST_PER_PAGE // FEWER[self.eased])

    def _note_page(self) -> None:
        self._pages += 1
        if self.eased and self._pages >= EASED_PAGES:
            self.eased, self._pages = self.eased - 1, 0

    def _spend(self, of: List) -> None:
        self.progress.spend(costs.call("GET", of.path).tokens)
