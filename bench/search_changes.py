"""Projects changes of one user's contacts at a steady rate, indexer included, until terminated.

Started by `bench.search`; prints a line once it runs, and the number of changes at the end.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import uvloop

from bench import data
from bench.people import DOMAINS, People
from services.query import batch, projector
from services.query.main import SCHEMA
from services.query.searching.indexer import Indexer
from shared import db, events, ids, lifecycle, states, topics
from shared.kafka.consumer import Received
from shared.tenants import CustomFields

PACE_S = 0.025


class Changes:
    """Half of them move a score, a quarter rename, a quarter link to another organization."""

    def __init__(self, scale: data.Scale) -> None:
        self._scale = scale
        self._random = Random(8)
        self._people = People(self._random)
        self._version = time.time_ns() // 1000

    def next(self) -> Received:
        self._version += 1
        person = 1 + self._random.randrange(self._scale.contacts)
        kind = self._random.random()
        if kind < 0.5:
            return self._scored(person)
        return self._renamed(person) if kind < 0.75 else self._linked(person)

    def _scored(self, person: int) -> Received:
        said = states.ScoreState(
            version=self._version,
            company_id=data.COMPANY,
            person_id=person,
            score=self._random.randrange(11),
            last_contacted=datetime.now(UTC),
        )
        return Received(topics.SCORES.name, said)

    def _linked(self, person: int) -> Received:
        firm = 1 + self._random.randrange(self._scale.organizations)
        said = states.ContactLink(
            version=self._version,
            company_id=data.COMPANY,
            person_id=person,
            organization_id=ids.organization(data.COMPANY, firm),
        )
        return Received(topics.CONTACT_LINKS.name, said)

    def _renamed(self, person: int) -> Received:
        renamed = self._people.person(self._random.choice(DOMAINS))
        now = datetime.now(UTC)
        change: dict[str, Any] = {
            "event_id": f"bench-{self._version}",
            "company_id": data.COMPANY,
            "entity": "person",
            "entity_id": str(person),
            "action": "change",
            "version": self._version,
            "occurred_at": now,
            "received_at": now,
            "source": "webhook.v2",
            "data": {"name": renamed.name},
        }
        return Received(topics.PERSONS.name, events.PersonChange.model_validate(change))


async def project(pool: db.Pool, facts: Sequence[Received]) -> None:
    sorted_facts = batch.sort(facts, lambda _: CustomFields())
    async with pool.acquire() as conn, conn.transaction():
        await projector.project(conn, sorted_facts)


async def main(dsn: str, scale: data.Scale, per_second: int) -> None:
    changes = Changes(scale)
    made = 0
    with lifecycle.stop_on_signal() as stop:
        async with (
            db.pool(dsn, SCHEMA, size=3, durable=False) as pool,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(Indexer(pool).run(stop))
            began = time.perf_counter()
            print("running", flush=True)
            while not await lifecycle.wait_or_stop(PACE_S, stop):
                due = int((time.perf_counter() - began) * per_second) - made
                if due > 0:
                    await project(pool, [changes.next() for _ in range(due)])
                    made += due
            seconds = time.perf_counter() - began
    print(f"{made} changes in {seconds:.1f} s: {made / seconds:.0f}/s")


if __name__ == "__main__":
    dsn, factor, per_second = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(dsn, data.Scale.of(float(factor)), int(per_second)))
