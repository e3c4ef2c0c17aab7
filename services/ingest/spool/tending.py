"""Looks after the spools, whether or not Kafka accepts what waits in them.

Rule 1: opening is retried where it failed, and so is writing to a disk that was full.
Rule 2: what a dead instance left on disk is taken over.
Rule 3: what damaged files hold is moved in small parts, with everything else in between.
Rule 4: a disk that does not answer is waited for, and is no reason to restart the process.
"""

import asyncio
import logging
import time
from functools import partial
from pathlib import Path
from typing import Final

from services.ingest.spool.file import DiskRefused
from services.ingest.spool.rescue import Withheld
from services.ingest.spool.slots import Slot
from services.ingest.spool.spool import Spool
from services.ingest.spool.spools import Spools
from shared import heart, lifecycle
from shared.observability import SPOOL_AGE, SPOOL_BYTES, SPOOL_EVENTS

log = logging.getLogger(__name__)

TEND_S: Final = 1.0
ADOPT_S: Final = 5.0
WITHHELD_S: Final = 5.0
"""Between two tries at damaged files that the disk cannot read, or whose records it refuses."""
MOVES: Final = 20
"""Batches of a damaged file moved between two rounds of everything else."""


class Tending:
    def __init__(self, spools: Spools, root: Path) -> None:
        self._spools = spools
        self._root = root
        self._adopted_at = 0.0
        self._refused: dict[Spool, str] = {}
        self._not_moved_at = -WITHHELD_S

    async def run(self, stop: asyncio.Event) -> None:
        while True:
            await self._open_closed()
            await self._spools.own.try_writing()
            await self._measure()
            if time.monotonic() - self._adopted_at > ADOPT_S:
                await self._adopt()
            more = await self._rescue()
            if await lifecycle.wait_or_stop(0.0 if more else TEND_S, stop):
                return

    async def open_own(self) -> None:
        await self._open(self._spools.own)

    async def _open_closed(self) -> None:
        for spool in self._spools:
            if spool.is_open:
                self._refused.pop(spool, None)
            elif spool in self._spools:  # one that was released meanwhile is closed for good
                await self._open(spool)

    async def _open(self, spool: Spool) -> None:
        try:
            await spool.open()
        except DiskRefused as refused:
            if self._refused.get(spool) != str(refused):  # tried every second, logged once
                log.error("spool_not_opened", extra={"reason": str(refused)})
            self._refused[spool] = str(refused)
        else:
            self._refused.pop(spool, None)

    async def _measure(self) -> None:
        oldest: list[float] = []
        for spool in self._spools:
            if spool.is_open:
                try:
                    stored_at = await spool.oldest()
                except DiskRefused:
                    continue  # the spool logs that itself
                oldest += [] if stored_at is None else [stored_at]
        SPOOL_EVENTS.set(self._spools.events)
        SPOOL_BYTES.set(self._spools.bytes)
        SPOOL_AGE.set(max(0.0, time.time() - min(oldest)) if oldest else 0.0)

    async def _adopt(self) -> None:
        self._adopted_at = time.monotonic()
        try:
            left = await self._spools.own.left_by_others(self._root)
        except DiskRefused:
            return  # the spool logs that itself
        for slot in left:
            spool = Spool(partial(_the, slot), max_bytes=0)
            # Even if it cannot be opened yet: counting millions of records takes its time, too.
            self._spools.adopt(spool)
            await self._open(spool)
            log.warning("spool_adopted", extra={"slot": slot.folder, "records": spool.events})

    async def _rescue(self) -> bool:
        """Whether to continue: there is more, and the disk works."""
        if time.monotonic() - self._not_moved_at < WITHHELD_S:
            return False
        try:
            return any([await self._moved_some(spool) for spool in self._spools])
        except (DiskRefused, Withheld) as reason:
            self._not_moved_at = time.monotonic()
            log.error("spool_not_drained", extra={"reason": str(reason)})
            return False

    async def _moved_some(self, spool: Spool) -> bool:
        """Whether there is more."""
        for _ in range(MOVES):
            heart.beat()
            if not await spool.rescue():
                return False
        return True


def _the(slot: Slot) -> Slot:
    return slot
