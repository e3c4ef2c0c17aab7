"""How long orgs takes to apply persons and organizations, in microseconds per event.

Postgres is included. Run as

    python bench/orgs_apply.py [DATABASE_URL]

Without a URL it reads DATABASE_URL. It makes a schema of its own and drops it at the end.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from services.orgs import applying
from services.orgs.main import MIGRATIONS
from shared import db, service, topics
from shared.events import (
    Action,
    Organization,
    OrganizationChange,
    Person,
    PersonChange,
    Source,
)
from shared.kafka.consumer import Received

SCHEMA = "orgs_bench"
COMPANY = 1
ORGANIZATIONS = 2_000
PERSONS = 20_000
BATCH = 500
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _envelope(entity: str, number: int, version: int) -> dict[str, Any]:
    return {
        "event_id": f"{entity}-{number}-{version}",
        "company_id": COMPANY,
        "entity": entity,
        "entity_id": str(number),
        "action": Action.CHANGE,
        "version": version,
        "occurred_at": NOW,
        "received_at": NOW,
        "source": Source.IMPORT,
    }


def organizations() -> list[Received]:
    return [
        Received(
            topics.ORGANIZATIONS.name,
            OrganizationChange(
                **_envelope("organization", number, 1),
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
                **_envelope("person", number, version),
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
    gc.freeze()  # a worker holds one batch of facts, not all of them
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches(facts):
        async with pool.acquire() as conn, conn.transaction():
            await applying.apply(conn, batch)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    each = 1e6 / len(facts)
    print(f"{what:34} {seconds * each:7.1f} us/event, of it Python {cpu * each:6.1f} us")
    await pool.execute("DELETE FROM outbox")


async def main(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    await service.prepare_store(dsn, SCHEMA, Path(MIGRATIONS), asyncio.Event())
    try:
        async with db.pool(dsn, SCHEMA, size=2, durable=False) as pool:
            await timed(pool, "organizations, new", organizations())
            await timed(pool, "persons, new", persons(2))
            await timed(pool, "persons, changed", persons(3))
            await timed(pool, "persons, told again", persons(3))
    finally:
        await conn.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
        await conn.close()


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ["DATABASE_URL"]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(url))
