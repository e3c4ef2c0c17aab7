"""A company whose changes are sent only to webhooks that were registered through the API.

Rule 1: its history, and what an earlier run sent, is replayed without webhooks before the API
        answers; later connections read it from the lists.
Rule 2: live changes continue where an earlier run stopped, with that run's times.
Rule 3: a live change counts as sent once its delivery has begun, as with Pipedrive.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from time import monotonic

from devstack.pipedrive import progress
from devstack.pipedrive.api.account import Account
from devstack.pipedrive.changes import Change
from devstack.pipedrive.pushing import RECALL_CHUNK, SAVE_EVERY_S

Life = Iterator[Change]


async def lived(
    account: Account, done: progress.Progress, *, rate: float, state: Path | None
) -> Life:
    """The live changes to come, at so many per second; none with a rate of 0."""
    await account.live_through_history()
    if not rate:
        return iter(())
    done.skip(account.company.world.number)
    done.start_live(datetime.now(UTC), rate)
    progress.save(state, done)
    life = account.company.live(done.clock)
    for change in life:
        if change.number > done.settled:
            return chain([change], life)
        account.witness(change)
        if change.number % RECALL_CHUNK == 0:
            await asyncio.sleep(0)
    return life


async def live(
    account: Account, life: Life, done: progress.Progress, *, state: Path | None
) -> None:
    """Make the changes at their times, and send them."""
    saved_at = monotonic()
    try:
        for change in life:
            await asyncio.sleep((change.at - datetime.now(UTC)).total_seconds())
            done.begin(change.number)
            await account.tell(change)
            done.settle(change.number)
            if monotonic() - saved_at > SAVE_EVERY_S:
                progress.save(state, done)
                saved_at = monotonic()
    finally:
        progress.save(state, done)
