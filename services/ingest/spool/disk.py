"""The thread in which a spool uses its disk: nothing else waits for the disk.

Rule 1: a disk that was asked, and has finished nothing for `SILENCE_S`, is silent until it does.
        Whoever waits for it is told so, and nothing more is asked of it.
Rule 2: what a silent disk was asked goes on, with nobody waiting: whether it takes effect is known
        when the disk answers.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from services.ingest.spool.file import DiskRefused
from shared import heart

log = logging.getLogger(__name__)

T = TypeVar("T")

SILENCE_S: Final = 5.0
"""Senders of webhooks wait for ten seconds."""
TICK_S: Final = 1.0
SILENT: Final = "the disk does not answer"


class Disk:
    """`on_silence` is called when the disk has become silent."""

    def __init__(self, on_silence: Callable[[], None]) -> None:
        self._on_silence = on_silence
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._asked = 0
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._silence = asyncio.Event()
        self._going: set[asyncio.Task[Any]] = set()

    @property
    def is_silent(self) -> bool:
        return self._silence.is_set()

    async def do(self, work: Callable[[], T]) -> T:
        """Its result, however long it takes."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(TICK_S, self._tick)
        self._asked += 1
        try:
            return await loop.run_in_executor(self._thread, work)
        finally:
            self._asked -= 1
            self._ticks = 0
            self._silence.clear()
            if not self._asked:
                self._timer.cancel()
                self._timer = None

    async def answer(self, work: Coroutine[Any, Any, T], *, anyway: bool = False) -> T:
        """The result of what uses the disk; `anyway`: it is begun even if the disk is silent. A
        loop that waits here makes progress.

        Raises:
            DiskRefused: the disk is silent.
        """
        heart.beat()
        if self.is_silent and not anyway:
            work.close()
            raise DiskRefused(SILENT)
        task = asyncio.get_running_loop().create_task(work)
        self._going.add(task)
        task.add_done_callback(self._ended)
        silence = asyncio.ensure_future(self._silence.wait())
        try:
            await asyncio.wait((task, silence), return_when=asyncio.FIRST_COMPLETED)
        finally:
            silence.cancel()
        if not task.done():
            raise DiskRefused(SILENT)
        return task.result()

    def end(self) -> None:
        """Nothing is asked any more."""
        self._thread.shutdown(wait=False)

    def _tick(self) -> None:
        """Seconds are counted, not measured: those in which this process is frozen itself, or
        busy, say nothing about the disk.
        """
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self._ticks += 1
        if self._ticks * TICK_S >= SILENCE_S and not self.is_silent:
            log.error("spool_silent")
            self._silence.set()
            self._on_silence()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._going.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more
