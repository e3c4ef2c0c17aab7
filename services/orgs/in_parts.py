"""Work beside the worker that would take too long in one transaction: part after part, with
pauses, the companies in turns.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from shared import db, lifecycle
from shared.lifecycle import Works

IDLE_S = 0.5
Part = Callable[[db.Pool, int | None], Awaitable[int | None]]
"""Does a part of one company's work, the next after the given one; returns the company, or null if
there was nothing to do.
"""


def in_parts(pool: db.Pool, part: Part, *, rest: float, what: str) -> lifecycle.Loop:
    """Pauses `rest` times as long as each part took."""

    async def work(stop: asyncio.Event) -> None:
        await lifecycle.sessions(partial(_session, pool, part, rest, stop), stop, what=what)

    return work


async def _session(
    pool: db.Pool, part: Part, rest: float, stop: asyncio.Event, works: Works
) -> None:
    last: int | None = None
    while not stop.is_set():
        began = time.monotonic()
        with db.errors():
            last = await part(pool, last)
        works()
        worked_s = time.monotonic() - began
        await lifecycle.wait_or_stop(IDLE_S if last is None else rest * worked_s, stop)
