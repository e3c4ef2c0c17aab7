"""Loops of a service, run in the test's own process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared import lifecycle


@asynccontextmanager
async def running(*loops: lifecycle.Loop) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(lifecycle.attended(loop, stop)) for loop in loops]
    try:
        yield
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
