"""Publishes what a transaction made true.

Rule 1: a state enters the outbox in the transaction that makes it true, and leaves it when Kafka
        has acked it; a crash in between only delays it, or publishes it twice.
Rule 2: one row per key: a newer state of a key replaces a waiting one, so a key's versions reach
        the topic in order, and the row lock of the key is what orders them.
Rule 3: one relay at a time per store, by an advisory lock on a connection of its own. It keeps it
        while Kafka is away, or each instance in turn would log an outage, and then its end; but
        not for long, as the trouble may be its own. What it has sent when it loses the lock may
        arrive after what the next one publishes, and Kafka refuses it then: see `_pending` and
        `shared/kafka/fencing.py`.
Rule 4: the cost of a look depends on what is new, not on what was published: while anybody reads
        under an old snapshot, such as a dump, Postgres keeps deleted rows, and a look from the
        first place on scans all of them. It starts behind what was published some seconds ago, and
        now and then at the first place, for a transaction that took longer to commit.
Rule 5: a relay never waits for a transaction that is replacing a state already published: the row
        stays where it is, and is not published again. It leaves with that transaction, or after
        it.
Rule 6: what is published is on disk. Otherwise a crash of Postgres could revert a state that
        consumers keep, and with it the version that the next one has to exceed.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice

import asyncpg

from shared import db, heart, lifecycle
from shared.errors import Unavailable
from shared.events import dump
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Record
from shared.lifecycle import Works
from shared.observability import OUTBOX_PENDING, OUTBOX_PUBLISHED
from shared.pacing import Pace
from shared.states import Published
from shared.topics import Topic

log = logging.getLogger(__name__)

BATCH = 2_000
PIECE = 1_000
"""States written at once: one organization may take all contacts of a company along, and Postgres
ends a transaction that is idle while they are encoded.
"""
IDLE_S = 1.0
PACE = Pace(times=1.0, least_s=0.002, most_s=0.05, much=BATCH // 10)
"""States of a key that arrive meanwhile are published as one."""
RELAY_LOCK_SPACE = 0x4F55
WHOLE_LOOK_S = 5.0
"""Between looks that start at the first place."""
STATEMENT_S = 30.0
"""Nothing else notices a connection whose other end has vanished silently."""
TURN_S = 60.0
"""How long a relay that cannot reach Kafka keeps others from trying."""

# One round trip: the states, and one notification, which Postgres sends at the commit.
PUT = """
WITH put AS (
    INSERT INTO outbox (topic, key, payload)
    SELECT $1, key, payload
      FROM unnest($2::bytea[], $3::bytea[]) AS state (key, payload)
        ON CONFLICT (topic, key) DO UPDATE
       SET payload = EXCLUDED.payload, place = EXCLUDED.place
)
SELECT pg_notify('outbox_' || current_schema(), '')
"""

# Committing a state need not wait for the disk. A non-transactional message is flushed when it is
# written, and with it whatever was committed before: once per round, if there is a first row.
PENDING = """
SELECT place, topic, key, payload,
       (SELECT pg_logical_emit_message(false, 'my500', '', true)) AS flushed
  FROM outbox
 WHERE place > $1
 ORDER BY place
 LIMIT $2
"""

# Without waiting (rule 5): the holder of one may wait for another of them.
DONE = """
DELETE FROM outbox
 WHERE place = ANY(ARRAY(SELECT place
                           FROM outbox
                          WHERE place = ANY($1::bigint[])
                            FOR UPDATE SKIP LOCKED))
RETURNING place
"""

TRY_LOCK = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))"


async def put(conn: db.Connection, topic: Topic, states: Iterable[Published]) -> None:
    """Queue states in the caller's transaction, each built when needed. The states of one call
    have different keys; many are best given in key order.
    """
    waiting = iter(states)
    while rows := sorted((state.key, dump(state)) for state in islice(waiting, PIECE)):
        await conn.execute(PUT, topic.name, *db.columns(rows, 2))


async def is_empty(pool: db.Pool) -> bool:
    """Whether all states have been published."""
    return not await pool.fetchval("SELECT EXISTS (SELECT FROM outbox)")


class Looks:
    """Where each look starts (rule 4): behind what was published before the full look before the
    last. Uses a monotonic clock in seconds.
    """

    def __init__(self) -> None:
        self._whole_at = -math.inf
        self._behind = 0
        self._next_behind = 0
        self._told = 0

    def begin(self, now: float) -> int:
        if now - self._whole_at < WHOLE_LOOK_S:
            return self._behind
        self._whole_at = now
        self._behind, self._next_behind = self._next_behind, self._told
        return 0

    def told(self, place: int) -> None:
        """The last place of a look: places start over when a store is rebuilt."""
        self._told = place


class Relay:
    """Publishes what waits in one store's outbox."""

    def __init__(self, dsn: str, schema: str, publisher: FencedPublisher) -> None:
        self._dsn = dsn
        self._schema = schema
        self._publisher = publisher

    async def run(self, stop: asyncio.Event) -> None:
        await lifecycle.sessions(partial(self._session, stop), stop, what="outbox")

    async def _session(self, stop: asyncio.Event, works: Works) -> None:
        conn = await db.connect(self._dsn, self._schema)
        try:
            with db.errors():
                while not await conn.fetchval(TRY_LOCK, RELAY_LOCK_SPACE, timeout=STATEMENT_S):
                    works()
                    if await lifecycle.wait_or_stop(IDLE_S, stop):
                        return
                await self._relay(conn, stop, works)
        finally:
            self._publisher.resign()
            conn.terminate()  # releases the lock even if Postgres no longer answers

    async def _relay(self, conn: asyncpg.Connection, stop: asyncio.Event, works: Works) -> None:
        wake, looks, outage = asyncio.Event(), Looks(), lifecycle.Outage("outbox")
        worked_at = time.monotonic()
        told: frozenset[int] = frozenset()
        await conn.add_listener(f"outbox_{self._schema}", lambda *_: wake.set())
        while not stop.is_set():
            wake.clear()
            began = time.monotonic()
            try:
                pending = await self._pending(conn, looks.begin(began))
                if pending:
                    told = await self._publish(conn, pending, told)
            except Unavailable as reason:
                if began > worked_at + TURN_S:
                    raise
                if await lifecycle.wait_or_stop(outage.goes_on(reason), stop):
                    return
                continue
            if pending:
                outage.is_over()
                looks.told(pending[-1]["place"])
                rest_s = PACE.rest(time.monotonic() - began, len(pending))
                await lifecycle.wait_or_stop(rest_s, stop)
            works()
            worked_at = began
            if len(pending) < BATCH:
                # Now and then without being woken: a notification can be lost.
                await lifecycle.first_of(IDLE_S, wake, stop)

    async def _pending(self, conn: asyncpg.Connection, behind: int) -> Sequence[asyncpg.Record]:
        """The first states behind that place, read while nobody else could publish newer ones.

        Raises:
            Unavailable: Kafka is away.
        """
        pending = await conn.fetch(PENDING, behind, BATCH, timeout=STATEMENT_S)
        OUTBOX_PENDING.set(len(pending))
        if not pending or self._publisher.has_taken_over:
            return pending
        await self._publisher.take_over()
        heart.beat()
        # Again: what was read before may have been published by another relay, and newer states
        # since. If this one still has the lock, whoever gets it next takes over later.
        return await conn.fetch(PENDING, behind, BATCH, timeout=STATEMENT_S)

    async def _publish(
        self, conn: asyncpg.Connection, pending: Sequence[asyncpg.Record], told: frozenset[int]
    ) -> frozenset[int]:
        """Publish all but those at `told` places, and delete them. Returns the places of published
        states that could not be deleted yet (rule 5).
        """
        untold = [row for row in pending if row["place"] not in told]
        if untold:
            await self._publisher.publish(
                [Record(row["topic"], row["key"], row["payload"]) for row in untold]
            )
        heart.beat()
        places = [row["place"] for row in pending]
        gone = {row["place"] for row in await conn.fetch(DONE, places, timeout=STATEMENT_S)}
        OUTBOX_PENDING.dec(len(gone))
        for topic, states in Counter(row["topic"] for row in untold).items():
            OUTBOX_PUBLISHED.labels(topic).inc(states)
        return frozenset(places) - gone
