"""How many of the pages that 500 users request come from the cache while contacts change.

    python -m bench.hit_rate [--rate 500] [--changes 20] [--seconds 30]

Creates a database of 500 users with 500 contacts each, starts a query process on it (role api),
and requests pages at a steady rate, open loop: users by Zipf's law, nine of ten for the list's
first page. The changes, renames and new scores of evenly drawn contacts, are projected meanwhile.
Every page was requested once before. Prints the hit rate, and the sampler's results: no page may
be stale. Waiting for another request's read counts as a miss: a busy machine lowers the rate.
"""

import argparse
import asyncio
import itertools
import os
import re
import secrets
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import aiohttp
import asyncpg
import jwt
from redis.asyncio import Redis

from bench import data
from bench.cached_page import SECRET, process
from bench.data import COMPANY, OTHERS, Scale
from bench.stage import percentile, say
from devstack.ports import free
from services.query import projection
from services.query.generation import Keys
from services.query.invalidation import Invalidation
from services.query.main import SCHEMA
from services.query.projector import Projector
from services.query.wire import Wire
from shared import db, events, states, topics
from shared.kafka.consumer import Received
from shared.tenants import Tenants
from tests.support.waiting import answers, until

SCALE = Scale(contacts=500, organizations=2_000, activities=2_000, contacts_of_others=500)
SAMPLES = 20
BUSY = 503
MISSES = ("store", "store_dirty", "store_cache_away", "stale")
PATHS = {
    "/api/my-500": 90,
    "/api/my-500?page=2": 4,
    "/api/organizations": 3,
    "/api/stats": 3,
}


def renamed(person: int, version: int) -> Received:
    now = datetime.now(UTC)
    change = {
        "event_id": f"{person}-{version}",
        "company_id": COMPANY,
        "entity": "person",
        "entity_id": str(person),
        "action": "change",
        "version": version,
        "occurred_at": now,
        "received_at": now,
        "source": "webhook.v2",
        "data": {"name": f"Renamed {version}"},
    }
    return Received(topics.PERSONS.name, events.PersonChange.model_validate(change))


def rescored(person: int, version: int, score: int) -> Received:
    said = states.ScoreState(version=version, company_id=COMPANY, person_id=person, score=score)
    return Received(topics.SCORES.name, said)


class Users:
    def __init__(self, random: Random) -> None:
        self._random = random
        ranked = list(OTHERS)
        random.shuffle(ranked)
        self._weights = list(
            itertools.accumulate(1 / place for place in range(1, len(ranked) + 1))
        )
        expiry = int(time.time()) + 3600
        self.all = [self._of(user, expiry) for user in ranked]

    def _of(self, user: int, expiry: int) -> dict[str, str]:
        claims = {"sub": str(user), "company_id": COMPANY, "exp": expiry}
        return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}

    def draw(self) -> dict[str, str]:
        return self._random.choices(self.all, cum_weights=self._weights)[0]


async def apply(projector: Projector, pool: db.Pool, fact: Received) -> None:
    """As the consumer does it."""
    async with pool.acquire() as conn, conn.transaction():
        after = await projector.apply(conn, [fact])
    await after(committed=True)


async def change(projector: Projector, pool: db.Pool, per_second: int, stop: asyncio.Event) -> int:
    random = Random(2)
    first = time.time_ns() // 1000
    for number in itertools.count():
        person = SCALE.contacts + random.randint(1, SCALE.persons - SCALE.contacts)
        version = first + number
        fact = (
            renamed(person, version)
            if number % 2
            else rescored(person, version, random.randrange(11))
        )
        await apply(projector, pool, fact)
        due = first / 1e6 + number / per_second
        try:
            async with asyncio.timeout(max(0.001, due - time.time())):
                await stop.wait()
        except TimeoutError:
            continue
        return number
    raise AssertionError("counting has no end")


async def ask(http: aiohttp.ClientSession, url: str, rate: int, seconds: int) -> list[float]:
    random = Random(3)
    users = Users(random)
    spent: list[float] = []

    async def one(path: str, headers: dict[str, str]) -> None:
        began = time.perf_counter()
        async with http.get(url + path, headers=headers) as response:
            await response.read()
            if response.status != BUSY:
                response.raise_for_status()
        spent.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for sent in range(rate * seconds):
            delay = began + sent / rate - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            (path,) = random.choices(list(PATHS), weights=list(PATHS.values()))
            group.create_task(one(path, users.draw()))
    return spent


async def visit_all(http: aiohttp.ClientSession, url: str) -> None:
    """Each page once: what is measured is the steady state, not the start."""
    visits = iter([(path, user) for user in Users(Random(3)).all for path in PATHS])

    async def visitor() -> None:
        for path, headers in visits:
            async with http.get(url + path, headers=headers) as response:
                response.raise_for_status()

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(visitor())


async def counted(http: aiohttp.ClientSession, url: str) -> Counter[str]:
    """Pages by origin, and samples by outcome, since the process began."""
    async with http.get(f"{url}/metrics") as response:
        text = await response.text()
    reads = re.findall(r"my500_query_page_reads_total{.*?} (\S+)", text)
    found = Counter({"reads": sum(int(float(number)) for number in reads)})
    pattern = r'my500_query_(?:pages|sampled_pages)_total{.*?(?:origin|outcome)="(\w+)".*?} (\S+)'
    for label, number in re.findall(pattern, text):
        found[label] += int(float(number))
    return found


async def measure(url: str, dsn: str, redis: str, chosen: argparse.Namespace) -> None:
    async with (
        aiohttp.ClientSession() as http,
        db.pool(dsn, SCHEMA, size=2, durable=False) as pool,
        Wire(redis) as wire,
    ):
        await until(lambda: answers(http, f"{url}/readyz"), 30)
        invalidation = Invalidation(wire, Keys(await projection.store_id(pool)), pool)
        projector = Projector(Tenants(Path("/nonexistent")), invalidation)
        # A starting projector invalidates all pages once: it cannot know which ones the previous
        # one had yet to invalidate.
        await apply(projector, pool, renamed(SCALE.persons, 1))
        await visit_all(http, url)
        before = await counted(http, url)
        stop = asyncio.Event()
        changing = asyncio.create_task(change(projector, pool, chosen.changes, stop))
        spent = await ask(http, url, chosen.rate, chosen.seconds)
        stop.set()
        changes = await changing
        found = await counted(http, url) - before
    pages = {name: found[name] for name in ("cache", *MISSES)}
    whole = sum(pages.values())
    say(f"{whole} pages in {chosen.seconds} s, {changes} changes: {pages}")
    say(f"read from Postgres: {found['reads']}, {found['reads'] / whole:.1%} of the pages")
    say(f"p50 {percentile(spent, 0.5):.1f}, p95 {percentile(spent, 0.95):.1f} ms")
    say(f"hit rate {found['cache'] / whole:.1%}, {len(spent) - whole} refused by the read limit")
    say(f"sampled: {found['fresh']} fresh, {found['stale']} stale, {found['changed']} changed")


async def main(chosen: argparse.Namespace) -> None:
    name = f"bench_hits_{secrets.token_hex(3)}"
    dsn = await data.make(name, SCALE)
    redis = os.environ["REDIS_URL"]
    async with Redis.from_url(redis) as client:
        await client.ping()
    port = free()
    environment = {
        "QUERY_DATABASE_URL": dsn,
        "REDIS_URL": redis,
        "JWT_SECRET": SECRET,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "STALE_SAMPLES_PER_SECOND": str(SAMPLES),
    }
    try:
        with process("-m", "services.query", "api", **environment):
            await measure(f"http://127.0.0.1:{port}", dsn, redis, chosen)
    finally:
        admin = await asyncpg.connect(data.server_url())
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=30)
    asyncio.run(main(parser.parse_args()))
