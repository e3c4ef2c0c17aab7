"""How much one user, and all users together, may ask of Postgres.

Rule 1: what the cache answers is not counted: it costs nobody else anything.
Rule 2: beyond that each user has a number of reads a second, saved up to a burst; more is 429.
Rule 3: a limited number of reads run at once, a limited number wait, and none waits long; more is
        503, before waiting takes longer than clients would.

Both are counted in the process, not in Redis: they must work, and cost nothing, while Redis is
away.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from services.query.batch import User
from shared.observability import READS_RUNNING, REFUSED
from shared.web import Refused

REMEMBERED: Final = 10_000
RUNNING: Final = 8
WAITING: Final = 200
PATIENCE_S: Final = 2.0


class Bucket(NamedTuple):
    """What was left at a given time."""

    left: float
    at: float


class Rate:
    """A token bucket per user. Takes the time as an argument, and keeps the most recent users."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[User, Bucket] = OrderedDict()

    def wait(self, user: User, now: float) -> float:
        """Take one; returns 0, or the seconds until there is one to take."""
        if self._per_second <= 0:
            return 0.0
        bucket = self._buckets.pop(user, None)
        left = float(self._burst)
        if bucket is not None:
            left = min(left, bucket.left + (now - bucket.at) * self._per_second)
        is_enough = left >= 1
        self._buckets[user] = Bucket(left - 1 if is_enough else left, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if is_enough else (1 - left) / self._per_second


class Gate:
    """Lets a limited number through at once."""

    def __init__(
        self, running: int = RUNNING, waiting: int = WAITING, patience_s: float = PATIENCE_S
    ) -> None:
        self._places = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self._patience_s = patience_s
        self._waiting = 0

    @property
    def busy(self) -> bool:
        return self._places.locked()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises:
        Refused: 503, too many are waiting, or it took too long.
        """
        if self._places.locked():
            await self._queue()
        else:
            await self._places.acquire()
        READS_RUNNING.inc()
        try:
            yield
        finally:
            READS_RUNNING.dec()
            self._places.release()

    async def _queue(self) -> None:
        if self._waiting >= self._most_waiting:
            raise overloaded()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience_s):
                await self._places.acquire()
        except TimeoutError:
            raise overloaded() from None
        finally:
            self._waiting -= 1


class Limits:
    """Both together, as applied to a request."""

    def __init__(self, rate: Rate | None = None, gate: Gate | None = None) -> None:
        self._rate = rate or Rate(0, 1)
        self.gate = gate or Gate()

    def admit(self, user: User) -> None:
        """Raises:
        Refused: 429, the user has reached the rate limit.
        """
        wait = self._rate.wait(user, time.monotonic())
        if wait:
            REFUSED.labels("rate").inc()
            raise Refused(
                429,
                "rate_limited",
                "You have reached your request limit. Try again soon.",
                Retry_After=str(math.ceil(wait)),
            )


def overloaded() -> Refused:
    REFUSED.labels("overload").inc()
    return Refused(
        503,
        "overloaded",
        "Too many requests are in progress. Try again soon.",
        Retry_After=str(math.ceil(PATIENCE_S)),
    )
