"""A service's plan for rebuilding its store."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from shared import db, lifecycle
from shared.kafka.consumer import Apply
from shared.settings import StoreSettings
from shared.topics import Topic


def _no_loops(_: db.Pool) -> Sequence[lifecycle.Loop]:
    return ()


async def _at_once(_: db.Pool) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Plan:
    """SQL names tables with their schema: SERVICE for the live store, SERVICE_next for the new
    one.

    `begin` runs when the new store is created, and again when its rebuild is resumed. `told`
    removes from the new outbox what the live store has already published, and gives it the version
    it was published under; each statement may run any number of times, beside the rebuild. `carry`
    runs in the switch's transaction and copies what is in no log. `around` is entered right before
    that transaction ends, and left after. `settled` tells whether `loops` have done what the log
    requests.
    """

    service: str
    dsn: str
    settings: StoreSettings
    migrations: Path
    consumed: Sequence[Topic]
    apply: Apply
    loops: Callable[[db.Pool], Sequence[lifecycle.Loop]] = _no_loops
    settled: Callable[[db.Pool], Awaitable[bool]] = _at_once
    begin: Sequence[str] = ()
    told: Sequence[str] = ()
    carry: Sequence[str] = ()
    around: Callable[[], AbstractAsyncContextManager[object]] = nullcontext

    @property
    def next(self) -> str:
        return f"{self.service}_next"

    @property
    def old(self) -> str:
        return f"{self.service}_old"
