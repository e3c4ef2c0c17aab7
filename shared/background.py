"""Work that nobody waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_RUNNING: Final[set[asyncio.Task[None]]] = set()
"""The loop alone does not keep a task until its end: somebody has to refer to it."""


def start(work: Coroutine[Any, Any, None]) -> None:
    """Runs in the loop of whoever calls. What it raises is logged, no more."""
    task = asyncio.get_running_loop().create_task(work)
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
