"""How much one user, and all users together, may ask of Postgres.

Rule 1: what the cache answers is not counted: it costs nobody else anything.
Rule 2: beyond that each user has a number of reads a second, saved up to a burst; more is 429.
Rule 3: a limited number of reads run at once, and as many wait as will get their turn within
        `PATIENCE_S`, going by how long recent reads took; more is 503, at once.
Rule 4: a refused client is told to come back when there is room, after those refused before it:
        otherwise all would come back together.

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
WAITING: Final = 2_000
"""At most, however quick reads are: each holds a connection and memory."""
PATIENCE_S: Final = 2.0
FIRST_S: Final = 0.02
"""Assumed duration of a read before any has ended."""
QUICKER: Final = 0.3
SLOWER: Final = 0.02
"""Weight of one read in the average duration, if it was shorter or longer than that: while many
requests are being refused, a read takes many times as long as soon after.
"""
LONGEST_S: Final = 10.0
"""Longest time after which a refused client is told to come back."""


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


class Turnover:
    """Estimates when there is room, from how long recent reads took. The time is an argument."""

    def __init__(self, running: int) -> None:
        self._running = running
        self._read_s = FIRST_S
        self._promised_at = 0.0

    def took(self, seconds: float) -> None:
        weight = QUICKER if seconds < self._read_s else SLOWER
        self._read_s += weight * (seconds - self._read_s)

    def wait(self, before: int) -> float:
        """Seconds until `before` others have had their turn."""
        return before * self._read_s / self._running

    def promise(self, before: int, now: float) -> float:
        """Seconds after which a refused client may come back: after those refused before it. If
        that is beyond `LONGEST_S`, times start again from the earliest.
        """
        first, last = now + self.wait(before + 1), now + LONGEST_S
        after = max(first, self._promised_at + self.wait(1))
        self._promised_at = after if after <= last else min(first, last)
        return self._promised_at - now


class Gate:
    """Lets a limited number through at once."""

    def __init__(
        self,
        running: int = RUNNING,
        waiting: int = WAITING,
        patience_s: float = PATIENCE_S,
        turnover: Turnover | None = None,
    ) -> None:
        self._places = asyncio.Semaphore(running)
        self._turnover = turnover or Turnover(running)
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
        began = time.monotonic()
        try:
            yield
        finally:
            self._turnover.took(time.monotonic() - began)
            READS_RUNNING.dec()
            self._places.release()

    async def _queue(self) -> None:
        wait_s = self._turnover.wait(self._waiting)
        if self._waiting >= self._most_waiting or wait_s > self._patience_s:
            raise self._refused()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience_s):
                await self._places.acquire()
        except TimeoutError:
            raise self._refused(self._patience_s) from None
        finally:
            self._waiting -= 1

    def _refused(self, least_s: float = 0.0) -> Refused:
        after_s = self._turnover.promise(self._waiting, time.monotonic())
        return overloaded(max(least_s, after_s))


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


def overloaded(after_s: float = PATIENCE_S) -> Refused:
    REFUSED.labels("overload").inc()
    return Refused(
        503,
        "overloaded",
        "Too many requests are in progress. Try again soon.",
        Retry_After=str(math.ceil(after_s)),
    )
