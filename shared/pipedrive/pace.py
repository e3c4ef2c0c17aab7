"""When a token may be used again: calls in a rolling window, for searches and for all others.

Rule 1: calls get their turns in the order in which they ask, as many per window as the headers
        allow; until these are known, as many as on the smallest plan.
Rule 2: a call counts in the window until its answer arrives: Pipedrive counted it at some time
        before that, and a slow network may delay it for longer than a window.
Rule 3: after a 429 nobody calls until the window is over; nor when the headers show that others
        use the same token, and leave less than what is in flight. If refused again, they wait
        twice as long: it may be the day that is spent, and not every 429 says so.
Rule 4: a caller that would wait past its deadline is told as soon as that is known, and uses
        nobody's turn.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from shared.pipedrive.errors import BurstSpent

WINDOW_S: Final = 2.1
"""Pipedrive's two seconds, plus tolerance for clocks and networks."""
FIRST_LIMIT: Final = 20
SEARCH_LIMIT: Final = 10
JITTER: Final = 0.25
MOST_DOUBLINGS: Final = 5
LONGEST_S: Final = 60.0


@dataclass(eq=False, slots=True)
class _Call:
    """`at` is when it is to be made; once it has ended, when that was. `ahead` is the earlier call
    that must not share its window.
    """

    at: float
    ahead: "_Call | None"
    ended: bool = False

    def may_begin(self, now: float) -> float:
        """The earliest possible moment, as far as is known."""
        if self.ahead is None:
            return self.at
        counted = self.ahead.at if self.ahead.ended else max(self.ahead.at, now)
        return max(self.at, counted + WINDOW_S)

    def is_over(self, now: float) -> bool:
        """Whether it no longer counts."""
        return self.ended and self.at + WINDOW_S <= now


class Pace:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: deque[_Call] = deque()
        self._not_before = 0.0
        self._under_way = 0
        self._in_vain = 0
        self._refused_at = 0.0

    @asynccontextmanager
    async def turn(self, due: float) -> AsyncIterator[float]:
        """Entered when a call may be made, with that moment; `due` and it are in seconds of
        `time.monotonic`. To be left when its answer has arrived.

        Raises:
            BurstSpent: that would be too late.
        """
        call = self._taken(due)
        try:
            await self._come(call, due)
        except BaseException:
            self._drop(call)
            raise
        self._under_way += 1
        try:
            yield time.monotonic()
        finally:
            self._under_way -= 1
            call.at, call.ahead, call.ended = time.monotonic(), None, True

    def refused(self, began: float, seconds: float) -> None:
        """A call that began then got a 429. Of calls that were in flight together one counts."""
        if began >= self._refused_at:
            self._in_vain += 1
            self._refused_at = time.monotonic()
        doublings = min(max(0, self._in_vain - 1), MOST_DOUBLINGS)
        self.hold(min(LONGEST_S, seconds * 2**doublings))

    def accepted(self) -> None:
        """Any other answer arrived."""
        self._in_vain = 0

    def hold(self, seconds: float) -> None:
        """With jitter, so that processes that wait together do not come back together."""
        until = time.monotonic() + seconds * (1 + random.random() * JITTER)  # noqa: S311
        self._not_before = max(self._not_before, until)

    def learn(self, *, limit: int | None, left: int | None, reset_s: float) -> None:
        """Note what an answer's headers say."""
        self._limit = limit or self._limit
        if left is None or not limit:
            return
        now = time.monotonic()
        ours = sum(1 for call in self._calls if now - WINDOW_S < call.at <= now)
        if left < self._under_way and limit - left > ours:
            self.hold(reset_s)

    def _taken(self, due: float) -> _Call:
        now = time.monotonic()
        while self._calls and self._calls[0].is_over(now):
            self._calls.popleft()
        ahead = self._calls[-self._limit] if len(self._calls) >= self._limit else None
        call = _Call(now, ahead)
        call.at = self._in_time(call, now, due)
        self._calls.append(call)
        return call

    def _in_time(self, call: _Call, now: float, due: float) -> float:
        at = max(call.may_begin(now), self._not_before)
        if at > now and at >= due:
            raise BurstSpent(at - now)
        return at

    async def _come(self, call: _Call, due: float) -> None:
        """Wait until it may be made; the time may get later meanwhile."""
        now = time.monotonic()
        while (at := self._in_time(call, now, due)) > now:
            await asyncio.sleep(at - now)
            now = time.monotonic()

    def _drop(self, call: _Call) -> None:
        """Remove a call that is not made: those that waited for it wait for the one before it."""
        place = self._calls.index(call)
        before = self._calls[place - 1] if place else None
        for each in self._calls:
            if each.ahead is call:
                each.ahead = before
        del self._calls[place]


class Paces:
    """For one token."""

    def __init__(self) -> None:
        self._all = Pace(FIRST_LIMIT)
        self._searches = Pace(SEARCH_LIMIT)

    def of(self, *, is_search: bool) -> Pace:
        return self._searches if is_search else self._all
