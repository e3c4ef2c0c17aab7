"""What costs more than to ask for it, and may be asked by anybody: so many times a second and no
more.

Rule 1: one makes it at a time, and whoever asks meanwhile gets what comes of that.
Rule 2: who asks after that has been done `MOST` times within a second gets the last.
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
