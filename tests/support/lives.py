"""A company's whole life through the three stores, without Kafka or HTTP: what arrives is cut into
batches of any size, in any order, and the pages at the end are compared with the reference model.

A second per life: of what no fault has to do with, many more cases than whole services would meet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from services.ingest import payload
from services.orgs import applying, relinking, summing, telling
from services.orgs import main as orgs
from services.query import batch, projector, reading
from services.query import main as query
from services.query.batch import User
from services.query.request import ListQuery
from services.scoring import main as scoring
from services.scoring.consumer import Scorer
from shared import db, service, topics
from shared.errors import Unavailable
from shared.events import parse
from shared.kafka.consumer import Received
from shared.tenants import Tenants
from shared.topics import OF_ENTITY
from tests.faults.sending import disordered
from tests.support.model import comparable
from tests.support.pipe import PAGE, a_tenant, differences, life, truth

SIZES = (1, 3, 10, 40, 150)
COMPANIES = 10_000
"""Each life is that of a company of its own, with this number and more."""
OF_TOPIC = {topic.name: topic for topic in topics.ALL}
Step = Callable[[db.Connection], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class Stores:
    orgs: db.Pool
    scoring: db.Pool
    query: db.Pool
    tenants: Tenants


@asynccontextmanager
async def stores(database_url: str, folder: Path, seeds: Iterable[int]) -> AsyncIterator[Stores]:
    file = folder / "tenants.json"
    file.write_bytes(orjson.dumps([a_tenant(COMPANIES + seed) for seed in seeds]))
    for name, migrations in (
        (orgs.SERVICE, orgs.MIGRATIONS),
        (scoring.SERVICE, scoring.MIGRATIONS),
        (query.SCHEMA, query.MIGRATIONS),
    ):
        await service.prepare_store(database_url, name, migrations, asyncio.Event())
    async with (
        db.pool(database_url, orgs.SERVICE, size=2, durable=False) as of_orgs,
        db.pool(database_url, scoring.SERVICE, size=2, durable=False) as of_scoring,
        db.pool(database_url, query.SCHEMA, size=2, durable=False) as of_query,
    ):
        yield Stores(of_orgs, of_scoring, of_query, Tenants(file))


async def lived(held: Stores, seed: int, events: int) -> str:
    """Where the pages differ from the model's; empty if nowhere."""
    company_id, rng = COMPANIES + seed, Random(seed)  # noqa: S311  repeatable, not secret
    bodies = life(seed, events, company_id)
    facts = list(_facts(disordered(bodies, seed=seed, shuffled=rng.random() < 0.6), company_id))
    states = await _grouped(held.orgs, _of(facts, orgs.CONSUMED), rng)
    states += await _scored(held, _of(facts, scoring.CONSUMED), rng)
    await _projected(held, [*_of(facts, query.CONSUMED), *states], rng)
    wanted = {
        user: [comparable(contact) for contact in page]
        for user, page in truth(company_id, bodies).items()
    }
    seen = {user: await _page(held.query, User(company_id, int(user))) for user in wanted}
    return "" if seen == wanted else differences(wanted, seen)


def _facts(bodies: Iterable[dict[str, Any]], company_id: int) -> Iterator[Received]:
    for body in bodies:
        now = datetime.now(UTC)
        change = payload.change(orjson.dumps(body), company_id=company_id, now=now)
        if change.entity in OF_ENTITY:
            yield Received(OF_ENTITY[change.entity].name, change)


def _of(facts: Iterable[Received], consumed: Iterable[topics.Topic]) -> list[Received]:
    names = {topic.name for topic in consumed}
    return [fact for fact in facts if fact.topic in names]


async def _grouped(pool: db.Pool, facts: Sequence[Received], rng: Random) -> list[Received]:
    states: list[Received] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summing, "MANY", rng.choice((1, 3, summing.MANY)))
        for part in _cut(facts, rng):
            await _committed(pool, lambda conn, part=part: applying.apply(conn, part))
            if rng.random() < 0.3:
                await relinking.relink(pool)
            if rng.random() < 0.3:
                await telling.tell(pool, quiet_s=0)
            if rng.random() < 0.5:
                states += await _published(pool)
    while await relinking.relink(pool) is not None:
        pass
    while await telling.tell(pool, quiet_s=0) is not None:
        pass
    return states + await _published(pool)


async def _scored(held: Stores, facts: Sequence[Received], rng: Random) -> list[Received]:
    states: list[Received] = []
    scorer = Scorer(held.tenants)
    for part in _cut(facts, rng):
        await _committed(held.scoring, lambda conn, part=part: scorer.apply(conn, part))
        if rng.random() < 0.5:
            states += await _published(held.scoring)
    return states + await _published(held.scoring)


async def _projected(held: Stores, facts: list[Received], rng: Random) -> None:
    """In a third of the lives, all states after all that they were made from."""
    if rng.random() < 0.7:
        rng.shuffle(facts)
    crossed: set[Any] = set()

    async def project(conn: db.Connection, part: Sequence[Received]) -> None:
        told = batch.sort(part, lambda company_id: held.tenants.get(company_id).custom_fields)
        try:
            await projector.project(conn, told, crossed)
        except projector.Crossed as late:
            crossed.update(late.persons)
            raise

    for part in _cut(facts, rng):
        await _committed(held.query, lambda conn, part=part: project(conn, part))
        crossed.clear()


def _cut(facts: Sequence[Received], rng: Random) -> Iterator[Sequence[Received]]:
    at = 0
    while at < len(facts):
        size = rng.choice(SIZES)
        yield facts[at : at + size]
        at += size


async def _committed(pool: db.Pool, step: Step) -> None:
    """Again where something else was in the way, as the consumer does."""
    while True:
        try:
            with db.errors():
                async with pool.acquire() as conn, conn.transaction():
                    await step(conn)
        except Unavailable:
            await asyncio.sleep(0)
        else:
            return


async def _published(pool: db.Pool) -> list[Received]:
    """What waits in the outbox, in its order; it is not waiting any more."""
    rows = await pool.fetch("DELETE FROM outbox RETURNING place, topic, payload")
    return [
        Received(row["topic"], parse(OF_TOPIC[row["topic"]].model, row["payload"]))
        for row in sorted(rows)
    ]


async def _page(pool: db.Pool, user: User) -> list[dict[str, Any]]:
    async with reading.snapshot(pool) as conn:
        read = await reading.my_500(conn, user, ListQuery(limit=PAGE).request())
    answer = orjson.loads(read.body + read.status + b"}")
    return [comparable(contact) for contact in answer["data"]["contacts"]]
