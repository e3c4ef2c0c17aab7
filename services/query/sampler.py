"""Continuously checks pages that were served from the cache against Postgres.

Rule 1: a page is compared with what Postgres holds under the generations it was cached under: if
        they changed, or are dirty, before or after Postgres was read, there is no result.
Rule 2: a difference is a stale page. There must be none; any raises the alarm.
Rule 3: samples never compete: where reads queue, none is taken.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from services.query import reading
from services.query.cache import Cache, Served
from services.query.generation import Part
from services.query.limits import Gate
from services.query.reading import Read
from shared import db, lifecycle
from shared.errors import Unavailable
from shared.observability import SAMPLED_PAGES, STALE_PAGE_AGE, STALE_PAGES
from shared.web import Refused

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """A page as it was served, and how to read it from Postgres."""

    part: Part
    route: str
    name: str
    served: Served
    read: Callable[[db.Connection], Awaitable[Read]]


class Samples:
    """Where requests leave the sample that was asked for; one at a time."""

    def __init__(self) -> None:
        self.wanted = False
        self._taken: Sample | None = None

    def offer(self, sample: Sample) -> None:
        self.wanted = False
        self._taken = sample

    def take(self) -> Sample | None:
        """The sample since the last call, if there was a request; requests the next one."""
        taken, self._taken = self._taken, None
        self.wanted = True
        return taken


class Sampler:
    """Takes `per_second` samples a second, if there are enough hits."""

    def __init__(
        self, samples: Samples, cache: Cache, pool: db.Pool, gate: Gate, per_second: float
    ) -> None:
        self._samples = samples
        self._cache = cache
        self._pool = pool
        self._gate = gate
        self._every_s = 1 / per_second

    async def run(self, stop: asyncio.Event) -> None:
        while not await lifecycle.wait_or_stop(self._every_s, stop):
            sample = self._samples.take()
            if sample is not None:
                SAMPLED_PAGES.labels(await self.check(sample)).inc()

    async def check(self, sample: Sample) -> str:
        """The result: fresh, stale, or why there is none."""
        if self._gate.busy:
            return "busy"
        try:
            found = await self._read(sample)
        except Unavailable:
            return "away"
        except Refused:
            return "busy"
        if found is None:
            return "changed"
        if found.body == sample.served.body:
            return "fresh"
        self._tell(sample)
        return "stale"

    async def _read(self, sample: Sample) -> Read | None:
        """The page from Postgres; null if the generations it was cached under are over."""
        if not await self._cache.is_current(sample.part, sample.served):
            return None
        async with self._gate.turn(), reading.snapshot(self._pool) as conn:
            found = await sample.read(conn)
        is_current = await self._cache.is_current(sample.part, sample.served)
        return found if is_current else None

    def _tell(self, sample: Sample) -> None:
        age = time.monotonic() - sample.served.kept_at
        STALE_PAGES.labels(sample.route).inc()
        STALE_PAGE_AGE.observe(age)
        log.error("stale_page", extra={"route": sample.route, "page": sample.name, "age_s": age})
