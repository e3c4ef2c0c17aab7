"""Work that is done once for all who want it at the same time.

Rule: it continues even if its initiator is gone: others may wait for it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ResultT = TypeVar("ResultT")


class Flights(Generic[KeyT, ResultT]):
    def __init__(self) -> None:
        self._tasks: dict[KeyT, asyncio.Task[ResultT]] = {}

    async def join(self, key: KeyT, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """The result of the work in progress under this key, or of this work, if there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(work())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: KeyT, task: asyncio.Task[ResultT]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # retrieved here: the callers may be gone
