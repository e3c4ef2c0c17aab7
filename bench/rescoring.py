"""New weights for a whole company: how fast they take effect, and how much events are delayed.

    python -m bench.rescoring [DATABASE_URL] [CONTACTS]

Without a URL it reads DATABASE_URL. It creates a schema of its own and drops it at the end. One
process does it all: it rescores in the background and applies small batches of events meanwhile.
"""

import asyncio
import os
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from random import Random

import uvloop

from bench import stage
from bench.facts import COMPANY
from bench.scoring import NOW, SCHEMA, activity_done
from services.scoring import preview, rescoring_store, weighing
from services.scoring.consumer import Scorer
from services.scoring.main import MIGRATIONS
from services.scoring.rescoring import Rescorer
from services.scoring.weight_table import WeightTable
from services.scoring.weights import DEFAULT, Rates
from shared import db
from shared.events import Action, ScoringWeights, ScoringWeightsChange, Source
from shared.tenants import Tenants

CONTACTS = 100_000
EVENTS = 20
ALONE = 200
TABLE = WeightTable(organization=3, meeting=3)

FILL = (
    """
    INSERT INTO persons (company_id, person_id, version, rank, event_id, deleted, has_email,
                         org_id)
    SELECT $1, n, 1, 1, 'p', false, n % 2 = 0, n % 50 FROM generate_series(1, $2::int) AS n
    """,
    """
    INSERT INTO activities (company_id, activity_id, version, rank, event_id, deleted, person_id,
                            kind, due_date, done, occurred_at, moment)
    SELECT $1, n, 1, 1, 'a', false, n % $2 + 1, (ARRAY['call', 'meeting', 'lunch'])[n % 3 + 1],
           '2026-05-01'::date + n % 60, true, '2026-05-10', '2026-05-10'
      FROM generate_series(1, 2 * $2::int) AS n
    """,
    """
    INSERT INTO deals (company_id, deal_id, version, rank, event_id, deleted, person_id, amount,
                       currency)
    SELECT $1, n, 1, 1, 'd', false, n * 2, n, 'EUR' FROM generate_series(1, $2::int / 2) AS n
    """,
    """
    INSERT INTO contacts (company_id, person_id, contact_id, score, points, published)
    SELECT $1, n, gen_random_uuid(), 0, '{}', 0 FROM generate_series(1, $2::int) AS n
    """,
)


def decision(version: int, table: WeightTable) -> ScoringWeightsChange:
    return ScoringWeightsChange(
        event_id=f"weights-{version}",
        company_id=COMPANY,
        entity="scoring_weights",
        entity_id="weights",
        action=Action.CHANGE,
        version=version,
        occurred_at=NOW,
        received_at=NOW,
        source=Source.APP,
        data=ScoringWeights(weights=table.stored(), user_id=1, reason="bench"),
    )


async def events(
    pool: db.Pool, scorer: Scorer, until: asyncio.Event, versions: range
) -> list[float]:
    """Seconds of each batch; batches come one after the other with a short pause."""
    rng = Random(versions.start)
    contacts = await pool.fetchval("SELECT count(*) FROM contacts")
    seconds: list[float] = []
    for version in versions:
        if until.is_set():
            break
        facts = [activity_done(rng.randrange(1, contacts), version) for _ in range(EVENTS)]
        began = time.perf_counter()
        async with pool.acquire() as conn, conn.transaction():
            await scorer.apply(conn, facts)
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    return seconds


def told(what: str, seconds: list[float]) -> None:
    p50, p99, longest = (1000 * stage.percentile(seconds, share) for share in (0.5, 0.99, 1.0))
    print(
        f"{what:34} p50 {p50:6.1f} ms, p99 {p99:6.1f} ms, longest {longest:6.1f} ms "
        f"({len(seconds)} batches of {EVENTS})"
    )


async def rescored(pool: db.Pool, tenants: Tenants, version: int, table: WeightTable) -> float:
    async with pool.acquire() as conn, conn.transaction():
        await weighing.adopt(conn, [decision(version, table)], NOW)
    began = time.perf_counter()
    await Rescorer(pool, tenants, lambda: NOW).round(asyncio.Event())
    seconds = time.perf_counter() - began
    async with pool.acquire() as conn:
        progress = await rescoring_store.progress(conn, COMPANY)
    assert progress is not None  # noqa: S101
    return progress.done / seconds


async def run(pool: db.Pool, tenants: Tenants, contacts: int) -> None:
    for statement in FILL:
        await pool.execute(statement, COMPANY, contacts, timeout=300)
    await pool.execute("ANALYZE")
    rate = await rescored(pool, tenants, 1, WeightTable())
    print(f"{'rescored, every contact written':34} {rate:10,.0f} contacts/s ({contacts:,})")
    began = time.perf_counter()
    weights = TABLE.weights(3, Rates())
    found = await preview.compare(pool, COMPANY, DEFAULT, weights, now=NOW)
    rate = found.looked_at / (time.perf_counter() - began)
    print(f"{'dry run':34} {rate:10,.0f} contacts/s ({found.looked_at:,} looked at)")
    scorer = Scorer(tenants, lambda: NOW + timedelta(minutes=1))
    told("events alone", await events(pool, scorer, asyncio.Event(), range(2, ALONE)))
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        beside = group.create_task(events(pool, scorer, ended, range(ALONE, sys.maxsize)))
        rate = await rescored(pool, tenants, 2, TABLE)
        ended.set()
    print(f"{'rescored beside events':34} {rate:10,.0f} contacts/s")
    told("events beside the rescoring", beside.result())


async def main(dsn: str, contacts: int) -> None:
    async with stage.scratch_schema(dsn, SCHEMA, MIGRATIONS):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tenants.json"
            file.write_text("[]")
            async with db.pool(dsn, SCHEMA, size=3, durable=False) as pool:
                await run(pool, Tenants(file), contacts)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ["DATABASE_URL"]
    number = int(sys.argv[2]) if len(sys.argv) > 2 else CONTACTS
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(url, number))
