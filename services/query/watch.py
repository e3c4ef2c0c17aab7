"""Knows whether Postgres is reachable, for requests that are served without it."""

import asyncio
from typing import Final

from shared import db, lifecycle
from shared.errors import Unavailable

EVERY_S: Final = 1.0
PATIENCE_S: Final = 2.0


class Watch:
    """`away` is at most a few seconds old."""

    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self.away = False

    async def run(self, stop: asyncio.Event) -> None:
        while not await lifecycle.wait_or_stop(EVERY_S, stop):
            self.away = not await self._answers()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await db.ping(self._pool)
        except (Unavailable, TimeoutError):
            return False
        return True
