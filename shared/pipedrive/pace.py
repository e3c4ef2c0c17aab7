"""When a token may be used again: calls in a rolling window, for searches and for all others.

Rule 1: calls are given their moments in the order in which they ask, so many in a window as the
        headers allow; until they say, as many as the smallest plan has.
Rule 2: after a 429 nobody calls until the window is over; nor when the headers show that others
        use the same token, and leave less than what is under way.
Rule 3: who would wait past the deadline is told at once, and takes no one's moment.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from shared.pipedrive.errors import BurstSpent

WINDOW_S: Final = 2.1
"""Pipedrive's two seconds, and what clocks and networks blur."""
FIRST_LIMIT: Final = 20
SEARCH_LIMIT: Final = 10
JITTER: Final = 0.25


class Pace:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._moments: deque[float] = deque(maxlen=limit)
        self._not_before = 0.0
        self._under_way = 0

    @asynccontextmanager
    async def turn(self, due: float) -> AsyncIterator[None]:
        """Entered when a call may be made; `due` is in the seconds of `time.monotonic`.

        Raises:
            BurstSpent: that would be too late.
        """
        while (wait := self._wait(due)) > 0:
            await asyncio.sleep(wait)
            if time.monotonic() >= self._not_before:
                break
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def hold(self, seconds: float) -> None:
        """With jitter, so that processes that wait together do not come back together."""
        until = time.monotonic() + seconds * (1 + random.random() * JITTER)  # noqa: S311
        self._not_before = max(self._not_before, until)

    def learn(self, *, limit: int | None, left: int | None, reset_s: float) -> None:
        """What the headers of an answer say."""
        if limit and limit != self._limit:
            self._limit = limit
            self._moments = deque(self._moments, maxlen=limit)
        if left is None or not limit:
            return
        now = time.monotonic()
        ours = sum(1 for at in self._moments if now - WINDOW_S < at <= now)
        if left < self._under_way and limit - left > ours:
            self.hold(reset_s)

    def _wait(self, due: float) -> float:
        now = time.monotonic()
        at = max(now, self._not_before)
        if len(self._moments) == self._limit:
            at = max(at, self._moments[0] + WINDOW_S)
        if at >= due:
            raise BurstSpent(at - now)
        self._moments.append(at)
        return at - now


class Paces:
    """Of one token."""

    def __init__(self) -> None:
        self._all = Pace(FIRST_LIMIT)
        self._searches = Pace(SEARCH_LIMIT)

    def of(self, *, is_search: bool) -> Pace:
        return self._searches if is_search else self._all
