"""Deletes what nobody can ask for any more: old changes, expired tokens."""

import asyncio
from typing import Final

from services.query.live import store as live_store
from services.query.sessions import store as access_store
from shared import db, heart, lifecycle

EVERY_S: Final = 30.0


class Pruner:
    """Any number may run: what one has deleted the others do not find."""

    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool

    async def run(self, stop: asyncio.Event) -> None:
        while not await lifecycle.wait_or_stop(EVERY_S, stop):
            await lifecycle.persist(self.prune, stop, what="pruning")

    async def prune(self) -> None:
        """Raises:
        Unavailable: Postgres is away.
        """
        with db.errors():
            async with self._pool.acquire() as conn:
                pruned = live_store.PRUNED
                while pruned == live_store.PRUNED:  # in parts, so that none blocks others' reads
                    heart.beat()
                    pruned = await live_store.prune(conn)
                await access_store.prune(conn)
