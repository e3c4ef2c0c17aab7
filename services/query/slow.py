"""Logs slow statements with their plans.

Rule 1: nothing is asked of Postgres during the request: plans are fetched afterwards, one by one,
        and for each statement at most once a minute.
Rule 2: the plan is estimated, not run: a slow statement is not repeated to examine it.
Rule 3: it is the generic plan that the statement runs with (see `db.pool`), not the one that
        Postgres would make for its parameters.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Final, NamedTuple

import asyncpg
from asyncpg.connection import LoggedQuery

from shared import db, heart, lifecycle
from shared.errors import Poison, Unavailable
from shared.observability import SLOW_STATEMENTS

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
LOOK_S: Final = 0.5
EXPLAIN_S: Final = 5.0

PREPARE: Final = "PREPARE looked_at AS "
EXPLAIN: Final = "EXPLAIN EXECUTE looked_at"
FORGET: Final = "DEALLOCATE looked_at"
UNPLANNED: Final = ("BEGIN", "COMMIT", "ROLLBACK")
"""How statements begin that have no plan: if slow, that is due to the server or the network."""
NOT_OURS: Final = (PREPARE, EXPLAIN, FORGET, "WITH RECURSIVE typeinfo_tree")
"""How our own statements about plans begin, and the driver's about types."""


class Slow(NamedTuple):
    statement: str
    parameters: int
    seconds: float


class SlowStatements:
    """Listens to a pool's connections (`heard`), and logs (`teller`). Statements are constants, so
    the memory is bounded.
    """

    def __init__(self, longer_than_s: float) -> None:
        self._longer_than_s = longer_than_s
        self._told_at: dict[str, float] = {}
        self._waiting: deque[Slow] = deque()

    def heard(self, record: LoggedQuery) -> None:
        """Called after each statement, by the connection that ran it."""
        if record.elapsed < self._longer_than_s or record.query.startswith(NOT_OURS):
            return
        SLOW_STATEMENTS.inc()
        now = time.monotonic()
        if now - self._told_at.get(record.query, -EVERY_S) < EVERY_S:
            return
        self._told_at[record.query] = now
        self._waiting.append(Slow(record.query, len(record.args), record.elapsed))

    def teller(self, pool: db.Pool) -> lifecycle.Loop:
        """A loop that logs what was heard."""

        async def tell_slow_statements(stop: asyncio.Event) -> None:
            while not await lifecycle.wait_or_stop(LOOK_S, stop):
                while self._waiting:
                    heart.beat()
                    await _tell(pool, self._waiting.popleft())

        return tell_slow_statements


async def _tell(pool: db.Pool, slow: Slow) -> None:
    log.warning(
        "slow_statement",
        extra={
            "statement": slow.statement.strip(),
            "seconds": round(slow.seconds, 3),
            "plan": await plan(pool, slow),
        },
    )


async def plan(pool: db.Pool, slow: Slow) -> str:
    """The plan, or why there is none."""
    if slow.statement.startswith(UNPLANNED):  # Postgres would log the request as an error
        return "it has none"
    values = ", ".join(["null"] * slow.parameters)  # any values will do: the plan is generic
    try:
        with db.errors():
            async with db.leased(pool, seconds=EXPLAIN_S) as conn:
                await conn.execute(PREPARE + slow.statement)
                rows = await conn.fetch(f"{EXPLAIN}({values})" if values else EXPLAIN)
                await conn.execute(FORGET)
    except (Unavailable, Poison, asyncpg.PostgresError) as trouble:
        return f"not available: {trouble}"
    return "\n".join(row[0] for row in rows)
