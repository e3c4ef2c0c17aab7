"""How long the projector takes to apply a fact, in batches, on a real Postgres and Redis.

    python bench/query_apply.py postgresql://… redis://… [contacts] [batch]

Uses the schema `query_bench` of the database, and drops it first.
"""

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import uvloop

from services.query import projection
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.projector import Projector
from services.query.wire import Wire
from shared import db, events, ids, service, states, topics
from shared.kafka.consumer import Received
from shared.tenants import Tenants

COMPANY = 77
SCHEMA = "query_bench"
START = datetime(2026, 1, 1, tzinfo=UTC)
MIGRATIONS = Path(__file__).parents[1] / "services" / "query" / "migrations"


def stamped(entity: str, number: int, version: int, data: Any) -> dict[str, Any]:
    return {
        "event_id": f"{entity}-{number}-{version}",
        "company_id": COMPANY,
        "entity": entity,
        "entity_id": str(number),
        "action": "create",
        "version": version,
        "occurred_at": START,
        "received_at": START,
        "source": "import",
        "data": data,
    }


def persons(count: int, random: Random) -> Iterable[Received]:
    for number in range(count):
        added = START - timedelta(minutes=random.randrange(10**6))
        data = {
            "name": f"Person {number}",
            "emails": [{"value": f"p{number}@example.com", "primary": True}],
            "phones": [{"value": f"+49 30 {number}", "primary": True}],
            "job_title": "Engineer",
            "org_id": number % 500,
            "owner_id": number % 4,
            "add_time": added,
            "update_time": added,
        }
        change = events.PersonChange.model_validate(stamped("person", number, 1000, data))
        yield Received(topics.PERSONS.name, change)


def links(count: int) -> Iterable[Received]:
    for number in range(count):
        organization_id = ids.organization(COMPANY, number % 500)
        link = states.ContactLink(
            version=1, company_id=COMPANY, person_id=number, organization_id=organization_id
        )
        yield Received(topics.CONTACT_LINKS.name, link)


def scores(count: int, random: Random) -> Iterable[Received]:
    for number in range(count):
        score = states.ScoreState(
            version=1,
            company_id=COMPANY,
            person_id=number,
            score=random.randrange(11),
            last_contacted=START - timedelta(days=random.randrange(300)),
        )
        yield Received(topics.SCORES.name, score)


def activities(count: int, random: Random) -> Iterable[Received]:
    for number in range(count):
        data = {
            "subject": "Call",
            "type": "call",
            "done": True,
            "due_date": START.date(),
            "person_id": random.randrange(count),
            "add_time": START - timedelta(minutes=number),
        }
        change = events.ActivityChange.model_validate(stamped("activity", number, 1000, data))
        yield Received(topics.ACTIVITIES.name, change)


async def apply(
    pool: db.Pool, projector: Projector, facts: Sequence[Received], size: int
) -> float:
    """Microseconds per fact."""
    gc.collect()
    gc.freeze()  # a consumer does not hold all facts at once, nor does its collector walk them
    began = time.perf_counter()
    for start in range(0, len(facts), size):
        async with pool.acquire() as conn, conn.transaction():
            after = await projector.apply(conn, facts[start : start + size])
        await after(committed=True)
    return (time.perf_counter() - began) / len(facts) * 1e6


async def main(dsn: str, redis: str, count: int, size: int) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    await conn.close()
    await service.prepare_store(dsn, SCHEMA, MIGRATIONS, asyncio.Event())
    random = Random(1)
    async with db.pool(dsn, SCHEMA, size=5, durable=False) as pool, Wire(redis) as wire:
        keys = Keys(await projection.store_id(pool))
        projector = Projector(Tenants(Path("/nonexistent")), Invalidation(wire, keys, pool))
        figures = []
        for name, facts in (
            ("persons", list(persons(count, random))),
            ("links", list(links(count))),
            ("scores", list(scores(count, random))),
            ("activities", list(activities(count, random))),
            ("persons again", list(persons(count, random))),
        ):
            figure = await apply(pool, projector, facts, size)
            figures.append(figure)
            print(f"{name:14} {figure:7.1f} µs a fact")
        print(f"median         {statistics.median(figures):7.1f} µs a fact")


if __name__ == "__main__":
    dsn, redis, *rest = sys.argv[1:]
    count, size = (int(each) for each in [*rest, *["20000", "500"][len(rest) :]])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(dsn, redis, count, size))
