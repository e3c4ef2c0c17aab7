"""How long each uncached read of a user takes, at 500,000 contacts.

    python -m bench.pages [--database bench] [--scale 1.0] [--times 200]

Loads what `python -m bench.data` loads, unless it exists, and starts a query process on it (role
api). Sends requests over HTTP one by one, each after a new epoch in Redis, so that only the first
kind are cache hits, which show the cost of client and HTTP; prints p50, p95 and the maximum, in
milliseconds, of each kind.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import time
from random import Random
from typing import Any

import aiohttp
import asyncpg
import jwt
from redis.asyncio import Redis

from bench import data
from bench.cached_page import SECRET, process
from bench.data import COMPANY, USER, Scale
from bench.stage import percentile, say
from devstack.ports import free
from services.query.generation import Keys, fresh
from services.query.main import SCHEMA
from tests.support.waiting import answers, until

LIST, ORGANIZATIONS = "/api/my-500", "/api/organizations"
BARS = {"first page": 5, "cursor": 10, "number": 60, "stats": 20, "organizations": 20}
FILTERS = {
    "": "",
    "in campaign": "&inCampaign=true",
    "out of campaign": "&inCampaign=false",
    "warmness 0-3": "&warmness=0-3",
    "warmness 4-6": "&warmness=4-6",
    "warmness 7-10": "&warmness=7-10",
}


class Client:
    def __init__(self, http: aiohttp.ClientSession, redis: Redis, epoch: str, url: str) -> None:
        self._http = http
        self._redis = redis
        self._epoch = epoch
        self._url = url

    async def timed(self, path: str, *, kept: bool = False) -> tuple[float, dict[str, Any]]:
        """Milliseconds of an uncached request, or with `kept` of a cached one."""
        if not kept:
            await self._redis.set(self._epoch, fresh())
        began = time.perf_counter()
        async with self._http.get(self._url + path) as response:
            content = await response.read()
        spent = (time.perf_counter() - began) * 1000
        answer: dict[str, Any] = await response.json()
        if response.status != 200 or answer["performance"]["cacheHit"] != kept:
            raise SystemExit(f"{path}: {response.status} {content[:200]!r}")
        return spent, answer["data"]


async def by_number(client: Client, path: str, times: int, random: Random) -> list[float]:
    joint = "&" if "?" in path else "?"
    _, first = await client.timed(path)
    last = max(1, first["pagination"]["totalPages"])
    return [
        (await client.timed(f"{path}{joint}page={random.randint(1, last)}"))[0]
        for _ in range(times)
    ]


async def by_cursor(client: Client, path: str, times: int, random: Random) -> list[float]:
    """A few pages on from each of some places."""
    joint = "&" if "?" in path else "?"
    _, first = await client.timed(path)
    last = max(1, first["pagination"]["totalPages"])
    found: list[float] = []
    while len(found) < times:
        _, page = await client.timed(f"{path}{joint}page={random.randint(1, last)}")
        for _ in range(4):
            cursor = page["pagination"]["nextCursor"]
            if cursor is None:
                break
            spent, page = await client.timed(f"{path}{joint}cursor={cursor}")
            found.append(spent)
        if last <= 1:
            break
    return found


async def again(client: Client, path: str, times: int) -> list[float]:
    return [(await client.timed(path))[0] for _ in range(times)]


def tell(kind: str, bar: float, values: list[float]) -> None:
    if values:
        p95 = percentile(values, 0.95)
        say(
            f"{kind:36} {len(values):4} times  p50 {statistics.median(values):6.1f}  "
            f"p95 {p95:6.1f}  max {max(values):6.1f} ms  bar {bar} {'' if p95 < bar else 'MISSED'}"
        )


async def measure(client: Client, large: str, times: int) -> None:
    random = Random(1)
    await again(client, LIST, 20)
    hits = [(await client.timed(LIST, kept=True))[0] for _ in range(times)]
    tell("first page from the cache", BARS["first page"], hits)
    tell("first page", BARS["first page"], await again(client, LIST, times))
    for name, query in FILTERS.items():
        path = f"{LIST}?limit=20{query}"
        tell(f"by cursor, {name or 'all'}", 10, await by_cursor(client, path, times, random))
        tell(f"by number, {name or 'all'}", 60, await by_number(client, path, times, random))
    path = f"{LIST}?limit=20&organizationId={large}"
    tell("by number, of a large organization", 60, await by_number(client, path, times, random))
    tell("by cursor, of a large organization", 10, await by_cursor(client, path, times, random))
    tell("stats", BARS["stats"], await again(client, "/api/stats", times))
    bar = BARS["organizations"]
    tell("organizations, first page", bar, await again(client, ORGANIZATIONS, times))
    tell("organizations by cursor", bar, await by_cursor(client, ORGANIZATIONS, times, random))
    tell("organizations by number", bar, await by_number(client, ORGANIZATIONS, times, random))
    for term in ("a", "gmbh", "energy", "muller", "no such name"):
        path = f"{ORGANIZATIONS}?search={term}"
        tell(f"organizations with '{term}'", bar, await again(client, path, times))


async def main(database: str, scale: Scale, times: int) -> None:
    dsn = await data.make(database, scale, keep=True)
    store = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA})
    store_id = await store.fetchval("SELECT store_id FROM store")
    large = await store.fetchval(
        "SELECT organization_id FROM user_organizations WHERE owner_id = $1 AND contacts > 0 "
        "ORDER BY contacts DESC LIMIT 1",
        USER,
    )
    await store.close()
    claims = {"sub": str(USER), "company_id": COMPANY, "exp": int(time.time()) + 3600}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
    port = free()
    environment = {
        "QUERY_DATABASE_URL": dsn,
        "JWT_SECRET": SECRET,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "RATE_LIMIT_PER_SECOND": "0",
        "KAFKA_GROUP_PREFIX": f"bench-{secrets.token_hex(4)}",
    }
    with process("-m", "services.query", "api", **environment):
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            Redis.from_url(os.environ["REDIS_URL"]) as redis,
        ):
            url = f"http://127.0.0.1:{port}"
            await until(lambda: answers(http, f"{url}/readyz"), 30)
            client = Client(http, redis, Keys(store_id).epoch, url)
            await measure(client, str(large), times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="bench")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--times", type=int, default=200)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.database, Scale.of(chosen.scale), chosen.times))
