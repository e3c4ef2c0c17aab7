"""Puts the new store in the place of the live one, in one transaction.

1. No live batch may begin; those in progress end. The live store's offsets are the target.
2. The rebuild continues until it has read as much, then stops, too.
3. Nobody may begin anything in either store; what is in progress ends. This takes milliseconds.
4. What is in no log is copied; the schemas are renamed; the transaction ends.
5. Whoever waited continues. Postgres resolves names again, so statements prepared before find the
   tables that have the name now; a worker whose batch does not follow there is superseded, as by
   any other worker, and continues from the offsets that it finds.

Readers wait in 3 only, and no longer than `PATIENCE_S`: if anything is in progress for longer, the
locks are released and it is tried again. Nothing visible before becomes invisible: the new store
has read as much or more.
"""

import asyncio
import contextlib
import random
import time
from typing import Final, NamedTuple

import asyncpg

from shared import db, migrating
from shared.rebuild import schemas
from shared.rebuild.building import Building
from shared.rebuild.plan import Plan

FREEZE_S: Final = 5.0
"""For live batches in progress."""
CATCH_UP_S: Final = 10.0
"""Workers wait meanwhile: well within their statement timeout."""
PATIENCE_S: Final = (0.2, 0.4, 0.8, 1.6, 3.2)
POLL_S: Final = 0.01
IN_THE_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


class NotYet(Exception):
    """The switch was rolled back, and can be retried."""


class Waited(NamedTuple):
    """How long nobody could write, and how long nobody could read."""

    writers_s: float
    readers_s: float


async def switch(conn: asyncpg.Connection, plan: Plan, building: Building) -> Waited:
    """Raises:
    NotYet: somebody or something was in the way.
    Unavailable: Postgres, or what `plan.around` needs, is away.
    """
    try:
        with db.errors():
            return await _switch(conn, plan, building)
    except asyncpg.LockNotAvailableError as held:
        raise NotYet(f"the tables are locked: {held}") from held


async def _switch(conn: asyncpg.Connection, plan: Plan, building: Building) -> Waited:
    transaction = conn.transaction()
    await transaction.start()
    try:
        await _patience(conn, FREEZE_S)
        await conn.execute("SELECT pg_advisory_xact_lock($1)", migrating.SETTINGS_LOCK)
        await schemas.lock_offsets(conn, plan.service)
        writers_wait = time.monotonic()
        await _catch_up(conn, plan, building)
        await schemas.lock_offsets(conn, plan.next)
        async with plan.around():
            await _lock_everything(conn, plan)
            readers_wait = time.monotonic()
            for statement in plan.carry:
                await conn.execute(statement)
            await schemas.rename(conn, plan)
            await transaction.commit()
            now = time.monotonic()
            return Waited(now - writers_wait, now - readers_wait)
    except BaseException:
        # If the connection is gone, or the transaction has ended, there is nothing to roll back.
        with contextlib.suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
            await transaction.rollback()
        raise


async def _catch_up(conn: asyncpg.Connection, plan: Plan, building: Building) -> None:
    fence = await schemas.offsets(conn, plan.service)
    try:
        async with asyncio.timeout(CATCH_UP_S):
            while True:
                building.check()
                stands = await schemas.offsets(conn, plan.next)
                if all(stands.get(each, 0) >= offset for each, offset in fence.items()):
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError as late:
        raise NotYet("the new store did not catch up with the live one in time") from late


async def _lock_everything(conn: asyncpg.Connection, plan: Plan) -> None:
    for attempt, seconds in enumerate(PATIENCE_S, start=1):
        try:
            async with conn.transaction():
                await _patience(conn, seconds)
                return await schemas.lock_everything(conn, (plan.service, plan.next))
        except IN_THE_WAY:
            if attempt == len(PATIENCE_S):
                raise
            await asyncio.sleep(random.uniform(0.05, 0.2))  # noqa: S311  jitter
    return None


async def _patience(conn: asyncpg.Connection, seconds: float) -> None:
    await conn.execute("SELECT set_config('lock_timeout', $1, true)", f"{int(1000 * seconds)}ms")
