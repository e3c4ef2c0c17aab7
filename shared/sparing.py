"""Limits how often an expensive result is computed, for callers that cannot be trusted.

Rule 1: one computation runs at a time, and concurrent callers share its result.
Rule 2: after `MOST` computations within a second, callers get the last result.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

MadeT = TypeVar("MadeT")

MOST: Final = 10


class Sparing(Generic[MadeT]):
    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, MadeT]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._clock = clock
        self._task: asyncio.Task[MadeT] | None = None
        self._second = 0
        self._times = 0

    async def get(self) -> MadeT:
        task = self._task
        if task is None or (task.done() and self._may_begin()):
            task = self._task = asyncio.get_running_loop().create_task(self._make())
        return await asyncio.shield(task)  # others wait for it, too

    def _may_begin(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._times = second, 0
        self._times += 1
        return self._times <= MOST
