"""The spools of this process: its own, and those of dead instances that it has taken over.

Rule: only its own accepts records. The others are drained, and closed when empty.
"""

from collections.abc import Iterator

from services.ingest.spool.spool import Spool
from shared.kafka.rounds import Record


class Spools:
    def __init__(self, own: Spool) -> None:
        self.own = own
        self._taken_over: list[Spool] = []

    def __iter__(self) -> Iterator[Spool]:
        """A snapshot, for callers that await in between."""
        return iter((self.own, *self._taken_over))

    @property
    def taken_over(self) -> tuple[Spool, ...]:
        return tuple(self._taken_over)

    @property
    def events(self) -> int:
        return self.own.events + sum(spool.events for spool in self._taken_over)

    @property
    def bytes(self) -> int:
        return sum(spool.bytes for spool in self)

    def holds(self, record: Record) -> bool:
        """Something under the record's key may wait in one of them."""
        return any(spool.holds(record) for spool in self)

    def adopt(self, spool: Spool) -> None:
        self._taken_over.append(spool)

    async def let_go(self, spool: Spool) -> None:
        """Close one that was taken over and is spent."""
        self._taken_over.remove(spool)
        await spool.close(leave_nothing=True)

    async def close(self) -> None:
        for spool in self:
            await spool.close()
