"""Fills the new store, as a worker would: the log from its beginning, then as it grows.

Rule: poison is skipped, and counted: the live store dead-lettered it when it met it. If there is
more of it than that, the new code can read less than the old one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from shared import db
from shared.errors import Unavailable
from shared.kafka.consumer import Consumer
from shared.kafka.publisher import Publisher, Record
from shared.rebuild import schemas
from shared.rebuild.plan import Plan
from shared.rebuild.progress import Progress

LEAVE_S: Final = 5.0


class Counted(Publisher):
    """Discards dead letters, as they exist already, and counts them."""

    letters = 0

    async def publish(self, records: Sequence[Record]) -> None:
        self.letters += len(records)


class Building:
    """The running loops of the rebuild."""

    def __init__(self, plan: Plan, pool: db.Pool, poison: Counted) -> None:
        endless = {"dead_letter_limit": 10**12}
        self._consumer = Consumer(
            plan.settings.model_copy(update=endless),
            service=f"{plan.service}.next",
            topics=plan.consumed,
            pool=pool,
            apply=plan.apply,
            publisher=poison,
        )
        self._plan = plan
        self._poison = poison
        self._stop = asyncio.Event()
        loops = [self._consumer.run, self._consumer.watch, *plan.loops(pool)]
        self._tasks = [asyncio.ensure_future(loop(self._stop)) for loop in loops]
        self.pool = pool
        self.progress = Progress()

    @property
    def poison(self) -> int:
        return self._poison.letters

    async def look(self) -> None:
        """Measure the progress.

        Raises:
            Unavailable: Kafka or Postgres is away, or a topic does not exist.
        """
        self.check()
        await self._poison.ping(self._plan.consumed)
        ends = await self._consumer.ends()
        with db.errors():
            async with self.pool.acquire() as conn:
                stands = await schemas.offsets(conn, self._plan.next)
        if not ends:
            raise Unavailable("Kafka has given us no partition yet")
        done = sum(min(stands.get(each, 0), end) for each, end in ends.items())
        self.progress.look(done, sum(ends.values()), now=time.monotonic())

    def check(self) -> None:
        """Raises whatever ended a loop."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def end(self) -> None:
        """After a switch the loops must not write anywhere, whatever they were doing."""
        self._stop.set()
        _, late = await asyncio.wait(self._tasks, timeout=LEAVE_S)
        for task in late:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # its tables have been renamed: not an error


@asynccontextmanager
async def building(plan: Plan) -> AsyncIterator[Building]:
    size = plan.settings.pool_size
    async with (
        db.pool(plan.dsn, plan.next, size=size, durable=False) as pool,
        Counted(plan.settings, deadline_s=LEAVE_S) as poison,
    ):
        begun = Building(plan, pool, poison)
        try:
            yield begun
        finally:
            await begun.end()
