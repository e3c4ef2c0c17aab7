"""What a service says about the rebuilding of its store."""

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
    """SQL names tables with their schema: SERVICE for the live store, SERVICE_next for the one
    that is built.

    `begin` runs when the store is made, and again when its building is resumed. `told` takes out
    of the outbox that is built what the live store has told already, and gives it the version that
    it was told under; each statement may run any number of times, beside the building. `carry`
    runs in the transaction of the switch and brings over what no log holds. `around` is entered
    right before that transaction ends, and left after. `settled` says whether `loops` have done
    what the log asked for.
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
