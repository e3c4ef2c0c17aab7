"""How fast contacts are scored: the pure function, the consumer, and the ticker.

    python -m bench.scoring [DATABASE_URL]

Without a URL it reads DATABASE_URL. It creates a schema of its own and drops it at the end.
"""

import asyncio
import gc
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import psutil
import uvloop

from bench import stage
from bench.facts import envelope
from services.scoring.consumer import Scorer
from services.scoring.main import MIGRATIONS
from services.scoring.score import score
from services.scoring.signals import Dealings, DealSum, Profile, Signals
from services.scoring.ticker import Ticker
from services.scoring.weights import DEFAULT
from shared import db, topics
from shared.events import (
    Activity,
    ActivityChange,
    ContactPoint,
    Deal,
    DealChange,
    Person,
    PersonChange,
)
from shared.kafka.consumer import Received
from shared.tenants import Tenants

SCHEMA = "scoring_bench"
PERSONS = 20_000
ACTIVITIES = 40_000
BATCH = 500
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KINDS = ("call", "meeting", "email", "lunch")
DUE_LATER = timedelta(days=8)


def persons(version: int) -> list[Received]:
    """Versions with and without e-mail alternate, so that every score changes."""
    emails = (ContactPoint(value="someone@mail.example"),) if version % 2 else ()
    return [
        Received(
            topics.PERSONS.name,
            PersonChange(
                **envelope("person", number, version, at=NOW),
                data=Person(name=f"Person {number}", emails=emails, phones=(), org_id=number),
            ),
        )
        for number in range(1, PERSONS + 1)
    ]


def activities() -> list[Received]:
    rng = Random(1)
    return [
        Received(
            topics.ACTIVITIES.name,
            ActivityChange(
                **envelope("activity", number, 1, at=NOW),
                data=Activity(
                    type=KINDS[number % 4],
                    done=True,
                    due_date=(NOW - timedelta(days=rng.randrange(5))).date(),
                    person_id=rng.randrange(1, PERSONS + 1),
                ),
            ),
        )
        for number in range(1, ACTIVITIES + 1)
    ]


def activity_done(number: int, version: int) -> Received:
    data = Activity(type="call", done=True, due_date=NOW.date(), person_id=number)
    told = envelope("activity", number, version, at=NOW)
    return Received(topics.ACTIVITIES.name, ActivityChange(**told, data=data))


def deals() -> list[Received]:
    return [
        Received(
            topics.DEALS.name,
            DealChange(
                **envelope("deal", number, 1, at=NOW),
                data=Deal(value=float(number), currency="EUR", person_id=number),
            ),
        )
        for number in range(1, PERSONS + 1)
    ]


def batches(facts: Sequence[Received]) -> Iterator[Sequence[Received]]:
    for start in range(0, len(facts), BATCH):
        yield facts[start : start + BATCH]


def pure() -> None:
    due = date(2026, 5, 20)
    signals = Signals(
        Profile(True, True, 7, "Boss", response_rate=0.4),
        Dealings(
            (due, due, due), due, due, None, NOW, (DealSum("EUR", is_lost=False, amount=5e3),)
        ),
    )
    rounds = 40_000
    began = time.perf_counter()
    for _ in range(rounds):
        score(signals, DEFAULT, now=NOW)
    seconds = time.perf_counter() - began
    print(f"{'score, pure':34} {rounds / seconds:10,.0f} contacts/s")


async def timed(pool: db.Pool, scorer: Scorer, what: str, facts: Sequence[Received]) -> None:
    gc.freeze()  # unlike here, a worker holds only one batch
    backend = await _backend(pool)
    began, python, postgres = time.perf_counter(), time.process_time(), _cpu(backend)
    for batch in batches(facts):
        async with pool.acquire() as conn, conn.transaction():
            await scorer.apply(conn, batch)
    postgres = _cpu(backend) - postgres
    seconds, python = time.perf_counter() - began, time.process_time() - python
    each = 1e6 / len(facts)
    print(
        f"{what:34} {seconds * each:7.1f} us/event; CPU: "
        f"Python {python * each:5.1f} us, Postgres {postgres * each:5.1f} us"
    )
    await pool.execute("DELETE FROM outbox")


async def _backend(pool: db.Pool) -> psutil.Process | None:
    """The server process behind the pool's one connection, if it runs on this machine."""
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    if psutil.pid_exists(pid) and "postgres" in psutil.Process(pid).name():
        return psutil.Process(pid)
    return None


def _cpu(process: psutil.Process | None) -> float:
    times = process.cpu_times() if process else None
    return times.user + times.system if times else math.nan


async def ticked(pool: db.Pool, tenants: Tenants) -> None:
    """All contacts are due at once."""
    due = await pool.fetchval("SELECT count(*) FROM contacts WHERE next_change_at IS NOT NULL")
    ticker = Ticker(pool, tenants, lambda: NOW + DUE_LATER)
    began = time.perf_counter()
    await ticker.round(asyncio.Event())
    seconds = time.perf_counter() - began
    print(f"{'rescored by the ticker':34} {due / seconds:10,.0f} contacts/s ({due:,} were due)")


async def main(dsn: str) -> None:
    pure()
    async with stage.scratch_schema(dsn, SCHEMA, MIGRATIONS):
        with tempfile.TemporaryDirectory() as folder:
            tenants = Tenants(_no_tenants(Path(folder)))
            scorer = Scorer(tenants, lambda: NOW)
            async with db.pool(dsn, SCHEMA, size=1, durable=False) as pool:
                await timed(pool, scorer, "persons, new", persons(2))
                await timed(pool, scorer, "activities, new", activities())
                await timed(pool, scorer, "deals, new", deals())
                await timed(pool, scorer, "persons, changed", persons(3))
                await timed(pool, scorer, "persons, told again", persons(3))
                await ticked(pool, tenants)


def _no_tenants(folder: Path) -> Path:
    file = folder / "tenants.json"
    file.write_text("[]")
    return file


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ["DATABASE_URL"]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(url))
