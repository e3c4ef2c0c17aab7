"""How long a step of a sync is retried.

Rule 1: what passes by waiting is retried in rounds; after a round without progress the caller
        waits, longer each time.
Rule 2: a list that gets no answer for some rounds, while others do, is given up for this time, as
        if it were refused: it would hold up all others, and use up their tokens. The next sync
        retries it less often. Where no list is answered, Pipedrive itself is away, and that
        passes.
Rule 3: a round also ends when Pipedrive has said nothing at all for as long as a page of each
        size takes: a process has few places, and the company gives its own to others meanwhile.
Rule 4: a credential that is no longer accepted is looked up in the tenants file: with another one
        the step resumes from its mark.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.ingest.sync import lists, sync_store
from services.ingest.sync.asking import FEWER, NOTHING_WORKS
from services.ingest.sync.lists import List
from services.ingest.sync.progress import Progress
from services.ingest.sync.reading import Reader
from services.ingest.sync.steps import Act, Step
from shared import db, heart, lifecycle
from shared.errors import Unavailable
from shared.pipedrive.client import DEADLINE_S
from shared.pipedrive.errors import Blocked, BurstSpent, DaySpent, PipedriveRefused, Unanswered

log = logging.getLogger(__name__)

TRIES: Final = 8
ROUNDS: Final = 5
TRIES_AGAIN: Final = 2
"""Tries per round for a list of which the last sync could read nothing, and for any list after
`ROUNDS` rounds without progress.
"""
SILENT_S: Final = (len(FEWER) - 0.5) * DEADLINE_S
"""Without an answer, no try is made after so long: three calls wait to their deadline at most."""
RETRY_AFTER: Final = timedelta(seconds=10)
LONGEST_WAIT: Final = timedelta(minutes=10)
"""Longest wait between rounds; waits double up to it. Tries cost tokens: those of a whole day of
outage are half of the sync's share of the smallest plan.
"""
ASKED_BESIDES: Final = (lists.ORGANIZATIONS, lists.PERSONS, lists.ACTIVITIES)
UNAUTHORIZED: Final = 401
MOST_DOUBLINGS: Final = 8

Attempt = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Round:
    """A round of tries, which begins anew with any progress. What had been answered `at`, in
    seconds of `time.monotonic`, is known by what was `paid`, in tokens.
    """

    progress: Progress
    left: int
    mark: dict[str, Any] = field(init=False)
    paid: int = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self._note()

    def is_over(self, outage: Unavailable) -> bool:
        """After one more failure."""
        sync = self.progress.sync
        self.left = (TRIES if sync.mark != self.mark else self.left) - 1
        is_silent = isinstance(outage, Unanswered) and sync.tokens == self.paid
        if not is_silent or sync.mark != self.mark:
            self._note()
        return not self.left or time.monotonic() - self.at >= SILENT_S

    def _note(self) -> None:
        sync = self.progress.sync
        self.mark, self.paid, self.at = sync.mark, sync.tokens, time.monotonic()


async def through(reader: Reader, step: Step, attempt: Attempt) -> None:
    """Do the step, unless its list is refused or given up.

    Raises:
        Unavailable: not now.
        PipedriveRefused: no call at all is accepted.
    """
    progress, before = reader.progress, reader.progress.sync.mark
    is_doubted = await _is_doubted(reader, step.of)
    tries = TRIES_AGAIN if is_doubted or progress.rounds >= ROUNDS else TRIES
    try:
        await again(reader, attempt, tries)
    except PipedriveRefused as refused:
        if refused.status in NOTHING_WORKS:
            raise
        log.warning("sync_list_refused", extra={"list": step.of.name})
        progress.refuse(step.of, refused.sentence)
    except Unanswered as silence:
        if step.act is Act.MEASURE:
            return  # it is only an estimate
        progress.in_vain(before)
        rounds = 1 if is_doubted and not progress.gets_on else ROUNDS
        if progress.rounds < rounds or not await _is_alone(reader, step.of):
            raise
        log.warning("sync_list_given_up", extra={"list": step.of.name})
        progress.refuse(step.of, str(silence))


async def again(reader: Reader, attempt: Attempt, tries: int = TRIES) -> None:
    """Retry after temporary failures, as long as there is progress in between."""
    this = _Round(reader.progress, tries)
    for wait in lifecycle.waits():
        heart.beat()
        credential = reader.asking.credential()
        try:
            await attempt()
        except (DaySpent, Blocked):
            raise
        except PipedriveRefused as refused:
            if refused.status != UNAUTHORIZED or reader.asking.credential() == credential:
                raise
            log.info("sync_credential_renewed")
        except Unavailable as outage:
            if this.is_over(outage) or reader.source.conn.is_closed():
                raise
            log.info("sync_waits", extra={"reason": str(outage)})
            await _pause(reader, outage, wait)
        else:
            return


def rest(outage: Unavailable, rounds: int) -> timedelta:
    """Until the next round."""
    if not isinstance(outage, Unanswered):
        return RETRY_AFTER
    longer = RETRY_AFTER * (1 << min(max(0, rounds - 1), MOST_DOUBLINGS))
    return min(longer, LONGEST_WAIT)


async def note_wait(reader: Reader, reason: str, until: datetime) -> None:
    """Record that it waits, and publish it."""
    heart.beat()
    conn, sync = reader.source.conn, reader.progress.sync
    with db.own(conn):
        await sync_store.advance(conn, sync)
        await sync_store.wait(conn, sync.id, reason, until)
    await reader.source.status.waits(sync)


async def _is_doubted(reader: Reader, of: List) -> bool:
    """Whether the last sync could not read the list, and this one has read none of it either."""
    progress, conn = reader.progress, reader.source.conn
    with db.own(conn):
        was_refused = await sync_store.was_refused(conn, progress.sync, of.name)
    return was_refused and not progress.gets_on


async def _is_alone(reader: Reader, of: List) -> bool:
    """Whether other lists are answered."""
    for other in ASKED_BESIDES:
        if other.entity != of.entity and await reader.asking.is_answered(other):
            return True
    return False


async def _pause(reader: Reader, outage: Unavailable, wait_s: float) -> None:
    """A burst limit is waited for like the daily one, and the wait is published."""
    if isinstance(outage, Unanswered):
        reader.asking.ease()
    if not isinstance(outage, BurstSpent):
        await reader.pause(wait_s)
        return
    until = datetime.now(UTC) + timedelta(seconds=outage.retry_after_s)
    await note_wait(reader, str(outage), until)
    await reader.pause(outage.retry_after_s)
    with db.own(reader.source.conn):
        await sync_store.start(reader.source.conn, reader.progress.sync.id)
