"""The projector's side of the cache: parts are marked before a commit, and freed after it.

Rule 1: marked means that no page of the part is served from the cache until the transaction has
        ended; freed means that none is served that was read before it ended.
Rule 2: if marking fails for longer than a moment, the commit goes on, and as soon as Redis can
        be told, no page is served; once all these transactions have ended, every page of that time
        is invalid. Until then processes that may still reach Redis are told through Postgres,
        again and again, not to trust it.
Rule 3: nothing is freed while the outcome of the transaction is unknown.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable

from services.query import projection
from services.query.generation import Keys, Part
from services.query.live import store as live_store
from services.query.wire import Wire
from shared import db, lifecycle
from shared.errors import Unavailable
from shared.observability import CACHE_ERRORS

log = logging.getLogger(__name__)

RETRY_S = 0.25
MOMENT_S = 1.5
"""Enough for two attempts to reconnect to Redis."""
ATTEMPT_S = 0.05
SETTLE_S = 2.0


class Invalidation:
    """One per process: its marker identifies it in Redis."""

    def __init__(self, wire: Wire, keys: Keys, pool: db.Pool) -> None:
        self._wire = wire
        self._keys = keys
        self._pool = pool
        self._marker = secrets.token_hex(8).encode()
        self._turn = asyncio.Lock()
        self._marked: set[Part] = set()
        self._open: set[str] = set()
        self._unmarked = False
        self._lost = True  # a previous process may have died before reporting a loss

    async def mark(self, parts: Iterable[Part], last: Callable[[], Awaitable[str]]) -> str:
        """Call at the end of the transaction; `settle` must follow once it has ended. `last` is
        its last statement, which returns its transaction id: Redis and Postgres are called
        concurrently. Returns that id.
        """
        affected = set(parts)
        async with self._turn:
            self._marked |= affected
            marking = asyncio.create_task(self._mark_somehow(affected))
            try:
                transaction = await last()
            finally:
                await marking
            self._open.add(transaction)
        return transaction

    async def _mark_somehow(self, parts: Iterable[Part]) -> None:
        try:
            await self._mark(parts)
        except Unavailable as outage:
            self._tell("mark", outage)
            if not self._unmarked and not await self._mark_yet(parts):
                self._unmarked = True
                await self._warn()

    async def _mark(self, parts: Iterable[Part]) -> None:
        await self._tell_loss()
        await self._wire.call_all([self._keys.mark(p, self._marker) for p in parts])

    async def _mark_yet(self, parts: Iterable[Part]) -> bool:
        """Whether it succeeds within a moment."""
        give_up_at = time.monotonic() + MOMENT_S
        while time.monotonic() < give_up_at:
            await asyncio.sleep(ATTEMPT_S)
            with contextlib.suppress(Unavailable):
                await self._mark(parts)
                return True
        return False

    async def settle(self, ended: str | None = None) -> None:
        """Free the parts if their transactions have ended; otherwise `run` does, once they have.

        Postgres is asked for the outcome, except that of `ended`.
        """
        async with self._turn:
            if ended is not None:
                self._open.discard(ended)
            try:
                await self._settle()
            except Unavailable as outage:
                self._tell("unmark", outage)

    async def run(self, stop: asyncio.Event) -> None:
        """Catch up on what failed, as soon as Redis and Postgres are back."""
        while True:
            async with self._turn:
                try:
                    await self._settle()
                except Unavailable:
                    await self._warn()
            if await lifecycle.wait_or_stop(RETRY_S, stop):
                return

    def _tell(self, call: str, outage: Unavailable) -> None:
        """Log the first failure; those that follow until Redis is back are only counted."""
        CACHE_ERRORS.labels(call).inc()
        if not (self._lost or self._unmarked):
            log.warning("invalidation_failed", extra={"call": call, "reason": str(outage)})

    async def _warn(self) -> None:
        """Warn the processes that read pages, while Redis cannot be told."""
        if not (self._lost or self._unmarked):
            return
        with contextlib.suppress(Unavailable), db.errors():  # the next turn warns them
            async with db.leased(self._pool, seconds=SETTLE_S) as conn:
                await live_store.notify(conn, [live_store.UNMARKED])

    async def _settle(self) -> None:
        if self._unmarked:
            # It is unknown which pages are wrong by now: none is served until it is known.
            await self._wire.call(*self._keys.close())
        if self._open:
            with db.errors():
                async with db.leased(self._pool, seconds=SETTLE_S) as conn:
                    self._open -= await projection.settled(conn, sorted(self._open))
        if self._open:
            return
        self._lost |= self._unmarked
        self._unmarked = False
        await self._tell_loss()
        if self._marked:
            freed = list(self._marked)
            await self._wire.call_all([self._keys.unmark(p, self._marker) for p in freed])
            self._marked.difference_update(freed)

    async def _tell_loss(self) -> None:
        """Raises:
        Unavailable: a loss is still to be reported, and Redis is away.
        """
        if self._lost:
            await self._wire.call(*self._keys.raise_epoch())
            self._lost = False
            log.info("cache_emptied")
