"""Work that nobody waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_RUNNING: Final[set[asyncio.Task[None]]] = set()
"""The event loop only keeps weak references to tasks: something has to hold them."""


def start(work: Coroutine[Any, Any, None]) -> None:
    """Runs in the caller's event loop. Exceptions are only logged."""
    task = asyncio.get_running_loop().create_task(work)
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
