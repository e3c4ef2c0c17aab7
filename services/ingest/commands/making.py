"""Creates things in Pipedrive, each once.

Rule 1: where the outcome of a request is unknown, all of Pipedrive's rows added since are looked
        through before it is sent again. They are listed, not searched: Pipedrive's search lags
        behind its lists.
Rule 2: a request that was not answered may still be carried out: until enough time has passed, not
        finding its row proves nothing.
Rule 3: a row that another undertaking made is never taken for this one's. Nor is one that was made
        for another request: a key may be reused for something else a day later, while what it was
        first used for is still known.
Rule 4: all that is done under one hold ends before another request may start the same.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.ingest import body
from services.ingest.commands import undertaking_store
from services.ingest.commands.leaving import left_open
from services.ingest.commands.undertaking_store import Held, Undertaking
from services.ingest.commands.wanted import Wanted, is_older
from shared import db
from shared.errors import Unavailable
from shared.pipedrive import paging
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import PipedriveRefused, Unsettled

log = logging.getLogger(__name__)

Finds = Callable[[], Awaitable[dict[str, Any] | None]]
"""Finds an existing row that serves as well."""

Serves = Callable[[dict[str, Any]], Awaitable[bool]]
"""Whether a created row still serves what it was created for."""

SETTLED: Final = timedelta(seconds=20)
LOOKED_AT: Final = 500
"""Rows per page."""
LOOK_S: Final = 3.0
"""Per page; all pages together get as long as creating."""
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Making:
    pool: db.Pool
    deadline_s: float

    @property
    def finding_s(self) -> float:
        """For finding an existing row that serves as well."""
        return 2 * self.deadline_s

    @property
    def longest(self) -> timedelta:
        """Finding, creating, looking for what was created, and as long again as for creating."""
        return timedelta(seconds=self.finding_s + 3 * self.deadline_s + LOOK_S)

    async def once(
        self,
        pipedrive: Pipedrive,
        it: Undertaking,
        wanted: Wanted,
        *,
        counts_for: timedelta = undertaking_store.KEPT,
        instead: Finds | None = None,
        serves: Serves | None = None,
    ) -> dict[str, Any]:
        """The row that Pipedrive has of it. After `counts_for`, for another request, or when it no
        longer `serves`, it may be created again. If `instead` finds a row before Pipedrive was
        ever asked, that is used.

        Raises:
            Unsettled: it may have been created; retrying later settles it.
            Unavailable, PipedriveRefused: it was not.
        """
        held = await self._take(it)
        if held.is_for_another(it) or await _is_over(held, counts_for, serves):
            with db.errors():
                await undertaking_store.drop_stale(self.pool, it, held)
            held = await self._take(it)
        if held.row is not None:
            return held.row
        try:
            if held.first_sent_at is not None:
                found = await self._look(pipedrive, it, wanted, held.first_sent_at)
                if found is not None:
                    return found
                _require_settled(held)
            elif instead is not None:
                there = await self._take_over(it, instead)
                if there is not None:
                    return there
            return await self._make(pipedrive, it, wanted, held)
        except BaseException:
            with left_open(it.kind):
                await undertaking_store.let_go(self.pool, it)
            raise

    async def _take_over(self, it: Undertaking, instead: Finds) -> dict[str, Any] | None:
        """Raises:
        Unavailable: it took too long.
        """
        try:
            async with asyncio.timeout(self.finding_s):
                found = await instead()
        except TimeoutError as error:
            raise Unavailable(f"looking for the {it.kind} in Pipedrive took too long") from error
        if found is None:
            return None
        row: dict[str, Any] = body.storable(found)
        return row if await self._keep(it, row) else None

    async def _take(self, it: Undertaking) -> Held:
        """Waits while another request holds it.

        Raises:
            Unavailable: too long.
        """
        try:
            async with asyncio.timeout(self.deadline_s):
                while True:
                    with db.errors():
                        held = await undertaking_store.take(self.pool, it, self.longest)
                    if held is not None:
                        return held
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise Unavailable(f"another request is creating the same {it.kind}") from error

    async def _make(
        self, pipedrive: Pipedrive, it: Undertaking, wanted: Wanted, held: Held
    ) -> dict[str, Any]:
        sent_at = datetime.now(UTC)
        with db.errors():
            await undertaking_store.sent(self.pool, it, sent_at)
        try:
            row = await pipedrive.post(wanted.path, wanted.body, deadline_s=self.deadline_s)
        except Unsettled as unknown:
            log.warning("pipedrive_write_unsettled", extra={"kind": it.kind})
            first = held.first_sent_at or sent_at
            found = await self._look_softly(pipedrive, it, wanted, first)
            if found is None:
                raise
            log.warning("pipedrive_write_settled", extra={"reason": str(unknown)})
            return found
        except (PipedriveRefused, Unavailable):
            # Nothing was created, now or earlier: earlier tries had been settled.
            with left_open(it.kind):
                await undertaking_store.drop(self.pool, it)
            raise
        if not isinstance(row, dict) or type(row.get("id")) is not int:
            raise Unsettled(f"Pipedrive: created a {it.kind} but did not return its id")
        made: dict[str, Any] = body.storable(row)
        await self._keep(it, made)
        return made

    async def _look_softly(
        self, pipedrive: Pipedrive, it: Undertaking, wanted: Wanted, sent_at: datetime
    ) -> dict[str, Any] | None:
        """If the look-up fails, the outcome stays unknown."""
        try:
            return await self._look(pipedrive, it, wanted, sent_at)
        except Unavailable:
            return None

    async def _look(
        self, pipedrive: Pipedrive, it: Undertaking, wanted: Wanted, sent_at: datetime
    ) -> dict[str, Any] | None:
        """Null if it is not there.

        Raises:
            Unsettled: not all rows could be looked at, and it was not among the others.
            Unavailable: none could be.
        """
        try:
            newest, are_all = await self._newest(pipedrive, wanted, sent_at)
        except PipedriveRefused as refused:
            raise Unsettled(f"Pipedrive: does not list its rows: {refused.sentence}") from refused
        for row in newest[::-1]:  # the oldest most likely comes from the first try
            if wanted.is_made_by(row, sent_at) and await self._keep(it, row):
                return row
        if not are_all:
            raise Unsettled(f"Pipedrive: more than {len(newest)} rows are newer than the request")
        return None

    async def _newest(
        self, pipedrive: Pipedrive, wanted: Wanted, sent_at: datetime
    ) -> tuple[list[dict[str, Any]], bool]:
        """The rows added since then, as stored, newest first; and whether they are all of them."""
        order = {"sort_by": "add_time", "sort_direction": "desc", "limit": LOOKED_AT}
        asked = {**wanted.filters, **order}
        found: list[dict[str, Any]] = []
        mark: paging.Mark = None
        due = time.monotonic() + self.deadline_s
        while True:
            there = paging.at(wanted.path, mark)
            page = await pipedrive.page(wanted.path, {**asked, **there}, deadline_s=LOOK_S)
            found += map(body.storable, page.rows)
            mark = page.next
            if mark is None or (page.rows and is_older(page.rows[-1], sent_at)):
                return found, True
            if time.monotonic() > due:
                return found, False

    async def _keep(self, it: Undertaking, row: dict[str, Any]) -> bool:
        with db.errors():
            return await undertaking_store.made(self.pool, it, int(row["id"]), row)


async def _is_over(held: Held, counts_for: timedelta, serves: Serves | None) -> bool:
    """Whether there is a row that is to be created again."""
    if held.row is None:
        return False
    is_old = datetime.now(UTC) > held.begun_at + counts_for
    return is_old or (serves is not None and not await serves(held.row))


def _require_settled(held: Held) -> None:
    """Raises:
    Unsettled: Pipedrive may still be working on it.
    """
    if held.sent_at is not None and datetime.now(UTC) < held.sent_at + SETTLED:
        raise Unsettled("Pipedrive: the previous request may still be carried out")
