"""The history of scores, in monthly partitions: created in advance, dropped when old.

Rule 1: every change of a score has one row, written in the transaction that changed it.
Rule 2: a month without a partition loses nothing: its rows go to the default partition.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from services.scoring.clock import Clock, utc_now
from services.scoring.families import Key
from shared import db, lifecycle
from shared.events import BIGINT_MAX

EVERY_S = 3600.0
LONGER_THAN_A_MONTH = timedelta(days=32)

CHANGES = """
SELECT at, version, old_score, new_score, points, cause, topic, event_id, weights_version
  FROM score_changes
 WHERE company_id = $1 AND person_id = $2 AND version < $4
 ORDER BY version DESC
 LIMIT $3
"""

ADD_MONTH = "SELECT add_score_changes_month($1)"
DROP_BEFORE = "SELECT drop_score_changes_before($1)"


CHANGE_COLUMNS = (
    "company_id",
    "person_id",
    "at",
    "version",
    "old_score",
    "new_score",
    "points",
    "cause",
    "topic",
    "event_id",
    "weights_version",
)


async def record(conn: db.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows as in `CHANGE_COLUMNS`."""
    await conn.copy_records_to_table("score_changes", records=rows, columns=CHANGE_COLUMNS)


async def newest(
    conn: db.Connection, key: Key, limit: int, before: int | None = None
) -> list[asyncpg.Record]:
    """`before` is a version."""
    beyond = BIGINT_MAX if before is None else before
    rows: list[asyncpg.Record] = await conn.fetch(CHANGES, *key, limit, beyond)
    return rows


class Keeper:
    def __init__(self, pool: db.Pool, keep: timedelta, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._keep = keep
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await lifecycle.persist(self.keep, stop, what="history")
            await lifecycle.wait_or_stop(EVERY_S, stop)

    async def keep(self) -> None:
        """Each statement is a transaction of its own, so that locks on the parent are held
        briefly.
        """
        now = self._clock()
        this_month = now.date().replace(day=1)
        with db.errors():
            for day in (this_month, this_month + LONGER_THAN_A_MONTH):
                await self._pool.execute(ADD_MONTH, day)
            await self._pool.execute(DROP_BEFORE, now - self._keep)
