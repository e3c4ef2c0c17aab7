"""How many cached pages a query process serves, relative to a bare handler.

    python -m bench.cached_page [DATABASE_URL REDIS_URL] [--rounds 5] [--seconds 3]

Without URLs it reads DATABASE_URL and REDIS_URL. Needs wrk (`make bench-tools`). Creates a
database of its own, fills it with one user's contacts, starts a real query process (role api) and
a bare handler that answers the same bytes, and loads them alternately.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import jwt

from bench.facts import COMPANY, envelope
from devstack.ports import free
from services.query import batch, projector
from services.query.main import MIGRATIONS, SCHEMA
from shared import db, ids, service, states, topics
from shared.kafka.consumer import Received
from shared.tenants import CustomFields

USER, CONTACTS = 7, 500
START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a-secret-of-at-least-thirty-two-bytes!"  # noqa: S105  of this run only
CONNECTIONS = 64
READY_S = 20.0
ROOT = Path(__file__).parents[1]


def changed(topic: topics.Topic, number: int, data: dict[str, object]) -> Received:
    change = {**envelope("entity", number, 1, at=START), "data": data}
    return Received(topic.name, topic.model.model_validate(change))


def facts() -> Iterator[Received]:
    organization_id = ids.organization(COMPANY, 1)
    state = states.OrganizationState(
        version=1, company_id=COMPANY, organization_id=organization_id, name="Acme GmbH"
    )
    yield Received(topics.ORG_STATES.name, state)
    for number in range(CONTACTS):
        added = START - timedelta(hours=number)
        person = {
            "name": f"Person {number}",
            "owner_id": USER,
            "emails": [{"value": f"person.{number}@example.com", "primary": True}],
            "phones": [{"value": f"+49 30 {number}", "primary": True}],
            "add_time": added,
            "update_time": added,
        }
        yield changed(topics.PERSONS, number, person)
        link = states.ContactLink(
            version=1, company_id=COMPANY, person_id=number, organization_id=organization_id
        )
        yield Received(topics.CONTACT_LINKS.name, link)
        for activity in range(5):
            call = {
                "person_id": number,
                "type": "call",
                "subject": f"Call {activity}",
                "done": True,
                "due_date": START.date(),
                "add_time": added,
            }
            yield changed(topics.ACTIVITIES, number * 5 + activity, call)


async def fill(dsn: str) -> None:
    await service.prepare_store(dsn, SCHEMA, MIGRATIONS, asyncio.Event())
    async with db.pool(dsn, SCHEMA, size=2) as pool, pool.acquire() as conn, conn.transaction():
        await projector.project(conn, batch.sort(facts(), lambda _: CustomFields()))


async def execute(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute(statement)
    await conn.close()


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Iterator[int]:
    """Yields its pid."""
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "WARNING", **environment},
    )
    try:
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(READY_S)


def get(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310
        content: bytes = response.read()
        return content


def wait_for(url: str, token: str) -> bytes:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            return get(url, token)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def processor_s(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(url: str, token: str, seconds: int, pid: int) -> tuple[float, float]:
    """Requests per second, and the server's CPU time for each, in microseconds."""
    before = processor_s(pid)
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"),
            *("-H", f"Authorization: Bearer {token}", url),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    requests = re.search(r"(\d+) requests in", done.stdout)
    if rate is None or requests is None:
        raise SystemExit(done.stdout)
    return float(rate[1]), (processor_s(pid) - before) / int(requests[1]) * 1e6


def measure(dsn: str, redis: str, rounds: int, seconds: int) -> None:
    claims = {"sub": str(USER), "company_id": COMPANY, "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    ports = free(), free()
    urls = [f"http://127.0.0.1:{port}/api/my-500" for port in ports]
    environment = {
        "QUERY_DATABASE_URL": dsn,
        "REDIS_URL": redis,
        "JWT_SECRET": SECRET,
        "PORT": str(ports[0]),
        "HOST": "127.0.0.1",
    }
    with (
        process("-m", "services.query", "api", **environment) as query,
        tempfile.NamedTemporaryFile() as file,
    ):
        wait_for(urls[0], token)
        body = get(urls[0], token)
        if not json.loads(body)["performance"]["cacheHit"]:
            raise SystemExit("the second request was not a cache hit")
        Path(file.name).write_bytes(body)
        with process("bench/bare.py", str(ports[1]), file.name) as plain:
            wait_for(urls[1], token)
            figures: tuple[list[float], list[float]] = ([], [])
            costs: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for number, pid in enumerate((query, plain)):
                    rate, cost = load(urls[number], token, seconds, pid)
                    figures[number].append(rate)
                    costs[number].append(cost)
    cached, bare = (statistics.median(each) for each in figures)
    cached_us, bare_us = (statistics.median(each) for each in costs)
    print(f"page of {len(body)} bytes, {CONNECTIONS} connections, {rounds} rounds of {seconds} s")
    print(f"cached {cached:8.0f} requests/s {cached_us:6.1f} µs  {[round(f) for f in figures[0]]}")
    print(f"bare   {bare:8.0f} requests/s {bare_us:6.1f} µs  {[round(f) for f in figures[1]]}")
    print(f"ratio  {cached / bare:8.2f}")


def main(dsn: str, redis: str, rounds: int, seconds: int) -> None:
    name = f"bench_{secrets.token_hex(4)}"
    own = urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    asyncio.run(execute(dsn, f"CREATE DATABASE {name}"))
    try:
        asyncio.run(fill(own))
        measure(own, redis, rounds, seconds)
    finally:
        asyncio.run(execute(dsn, f"DROP DATABASE {name} WITH (FORCE)"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", nargs="?", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("redis", nargs="?", default=os.environ.get("REDIS_URL"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    given = parser.parse_args()
    main(given.dsn, given.redis, given.rounds, given.seconds)
