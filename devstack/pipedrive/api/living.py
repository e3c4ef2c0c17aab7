"""A company that nobody is told of but through webhooks registered by the API.

Rule 1: its history is lived through unheard; who connects later asks for it.
Rule 2: the live trickle goes on where an earlier run stopped, with that run's times.
Rule 3: a live change counts as told once it is on its way, as it does with Pipedrive.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from devstack.pipedrive import progress
from devstack.pipedrive.api.account import Account
from devstack.pipedrive.pushing import RECALL_CHUNK, SAVE_EVERY_S


async def live(
    account: Account, done: progress.Progress, *, rate: float, state: Path | None
) -> None:
    """At so many events a second; with a rate of 0 it ends at once."""
    if not rate:
        return
    done.start_live(datetime.now(UTC), rate)
    progress.save(state, done)
    saved_at = monotonic()
    try:
        for change in account.company.live(done.clock):
            if change.number <= done.settled:
                account.witness(change)
                if change.number % RECALL_CHUNK == 0:
                    await asyncio.sleep(0)
                continue
            await asyncio.sleep((change.at - datetime.now(UTC)).total_seconds())
            done.begin(change.number)
            await account.tell(change)
            done.settle(change.number)
            if monotonic() - saved_at > SAVE_EVERY_S:
                progress.save(state, done)
                saved_at = monotonic()
    finally:
        progress.save(state, done)
