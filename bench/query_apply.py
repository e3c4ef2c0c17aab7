"""How long the projector takes to apply a fact, in batches, on a real Postgres and Redis.

    python -m bench.query_apply [DATABASE_URL REDIS_URL] [--contacts 20000] [--batch 500]

Without URLs it reads DATABASE_URL and REDIS_URL. It creates a schema of its own and drops it at
the end.
"""

import argparse
import asyncio
import gc
import os
import statistics
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import uvloop

from bench import stage
from bench.facts import COMPANY, envelope
from services.query import projection
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.main import MIGRATIONS
from services.query.projector import Projector
from services.query.wire import Wire
from shared import db, events, ids, states, topics
from shared.kafka.consumer import Received
from shared.tenants import Tenants

SCHEMA = "query_bench"
START = datetime(2026, 1, 1, tzinfo=UTC)


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
        told = envelope("person", number, 1000, at=START)
        change = events.PersonChange.model_validate({**told, "data": data})
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
        told = envelope("activity", number, 1000, at=START)
        change = events.ActivityChange.model_validate({**told, "data": data})
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
    random = Random(1)
    async with (
        stage.scratch_schema(dsn, SCHEMA, MIGRATIONS),
        db.pool(dsn, SCHEMA, size=5, durable=False) as pool,
        Wire(redis) as wire,
    ):
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", nargs="?", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("redis", nargs="?", default=os.environ.get("REDIS_URL"))
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(given.dsn, given.redis, given.contacts, given.batch))
