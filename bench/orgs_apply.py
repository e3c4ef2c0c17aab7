"""How long orgs takes to apply persons and organizations, in microseconds per event.

Includes the time in Postgres.

    python -m bench.orgs_apply [DATABASE_URL]

Without a URL it reads DATABASE_URL. It creates a schema of its own and drops it at the end.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import uvloop

from bench import stage
from bench.facts import envelope
from services.orgs import applying
from services.orgs.main import MIGRATIONS
from shared import db, topics
from shared.events import (
    Organization,
    OrganizationChange,
    Person,
    PersonChange,
)
from shared.kafka.consumer import Received

SCHEMA = "orgs_bench"
ORGANIZATIONS = 2_000
PERSONS = 20_000
BATCH = 500
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def organizations() -> list[Received]:
    return [
        Received(
            topics.ORGANIZATIONS.name,
            OrganizationChange(
                **envelope("organization", number, 1, at=NOW),
                data=Organization(name=f"Organization {number} Ltd.", city="Zürich"),
            ),
        )
        for number in range(1, ORGANIZATIONS + 1)
    ]


def persons(version: int) -> list[Received]:
    return [
        Received(
            topics.PERSONS.name,
            PersonChange(
                **envelope("person", number, version, at=NOW),
                data=Person(name=f"Person {number}", org_id=number % ORGANIZATIONS + 1),
            ),
        )
        for number in range(1, PERSONS + 1)
    ]


def batches(facts: Sequence[Received]) -> Iterator[Sequence[Received]]:
    for start in range(0, len(facts), BATCH):
        yield facts[start : start + BATCH]


async def timed(pool: db.Pool, what: str, facts: Sequence[Received]) -> None:
    gc.collect()
    gc.freeze()  # unlike here, a worker holds only one batch of facts
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches(facts):
        async with pool.acquire() as conn, conn.transaction():
            await applying.apply(conn, batch)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    each = 1e6 / len(facts)
    print(f"{what:34} {seconds * each:7.1f} us/event, of it Python {cpu * each:6.1f} us")
    await pool.execute("DELETE FROM outbox")


async def main(dsn: str) -> None:
    async with (
        stage.scratch_schema(dsn, SCHEMA, MIGRATIONS),
        db.pool(dsn, SCHEMA, size=2, durable=False) as pool,
    ):
        await timed(pool, "organizations, new", organizations())
        await timed(pool, "persons, new", persons(2))
        await timed(pool, "persons, changed", persons(3))
        await timed(pool, "persons, told again", persons(3))


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ["DATABASE_URL"]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(url))
