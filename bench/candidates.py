"""How long one arrival's candidates take to find among a tenant's names, in milliseconds.

    python -m bench.candidates [DATABASE_URL] [--names FILE ...] [--stored 100000]
                               [--arrivals 300]

Stores names as organizations in a schema of its own, which it drops at the end: those of CSV files
with a column `name`, topped up with names combined from their words. Without a file all are
combined from invented words. Then single records arrive, misspelt, and their candidates are looked
up in the service's own way; then in batches, as the asking loop does it. Postgres must run on this
machine; on a shared one only CPU times are meaningful.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from uuid import UUID

import uvloop

from bench import stage
from bench.matching_task import read
from services.orgs import candidate_store, grouping, record_store
from services.orgs.grouping import Record
from services.orgs.judging import asking as judging
from services.orgs.main import MIGRATIONS
from services.orgs.matching import asking
from services.orgs.placing import NEW_RECORD
from services.orgs.searching import index as searching_index
from services.orgs.searching.index import Name
from shared import db, ids, lifecycle
from shared.register import Register, Stamp

SCHEMA = "orgs_candidates"
COMPANY = 1
BATCH = 1_000
SYLLABLES = (
    "ba",
    "co",
    "da",
    "fi",
    "go",
    "ha",
    "in",
    "jo",
    "ka",
    "lo",
    "mond",
    "ni",
    "qua",
    "ver",
)
COMMON = ("Holding", "Group", "Services", "Capital", "Systems", "Bank", "Energy", "International")
FORMS = ("GmbH", "Ltd", "Inc", "AG", "SA", "BV", "")


def names(paths: Sequence[Path], count: int, rng: Random) -> Iterator[str]:
    known = [row.stated.name or "" for path in paths for row in read(path)]
    yield from known[:count]
    words = [word for name in known for word in name.split()] or list(_invented(rng, 30_000))
    for _ in range(count - len(known)):
        middle = rng.choice(COMMON) if rng.random() < 0.4 else rng.choice(words)
        yield f"{rng.choice(words)} {middle} {rng.choice(FORMS)}".strip()


def _invented(rng: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        yield "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4))).capitalize()


def misspelt(name: str, rng: Random) -> str:
    at = rng.randrange(max(1, len(name) - 1))
    return name[:at] + name[at + 1 :]


def record(number: int, name: str) -> Record:
    fields = {**NEW_RECORD.fields, "name": name}
    register = Register(Stamp(number, 1, f"e{number}"), False, fields, {})
    record_id = ids.organization(COMPANY, number)
    return grouping.named(COMPANY, record_id, number, register, record_id)


async def fill(pool: db.Pool, stored: Sequence[str]) -> None:
    records = [record(number, name) for number, name in enumerate(stored, 1)]
    for start in range(0, len(records), BATCH):
        async with pool.acquire() as conn, conn.transaction():
            part = records[start : start + BATCH]
            await record_store.save(conn, part)
            shown = [
                Name(COMPANY, r.record_id, r.register.fields["name"], contacts=1) for r in part
            ]
            await searching_index.keep(conn, shown, before=())
    await pool.execute("ANALYZE records, search_words")


def cpu_ms(pid: int) -> float:
    """CPU time of a local process: waiting for a busy CPU does not count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


async def measure(pool: db.Pool, arrivals: Mapping[UUID, Record]) -> None:
    """`arrivals` by the record that each is a misspelling of."""
    looked: list[float] = []
    computed: list[float] = []
    compared: list[float] = []
    found: list[int] = []
    met = 0
    async with pool.acquire() as conn, conn.transaction():
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        for original, arrival in arrivals.items():
            began, cpu = time.perf_counter(), cpu_ms(pid) + 1e3 * time.process_time()
            near = await candidate_store.near(conn, [arrival])
            looked.append(1e3 * (time.perf_counter() - began))
            computed.append(cpu_ms(pid) + 1e3 * time.process_time() - cpu)
            began = time.process_time()
            candidates = near.get(arrival.key, ())
            asking.asked(arrival.profile, candidates, said=())
            compared.append(1e3 * (time.process_time() - began))
            found.append(len(candidates))
            met += any(each.ref == original.hex for each in candidates)
        records = list(arrivals.values())
        cpu = cpu_ms(pid) + 1e3 * time.process_time()
        for start in range(0, len(arrivals), judging.BATCH):
            await candidate_store.near(conn, records[start : start + judging.BATCH])
        together = (cpu_ms(pid) + 1e3 * time.process_time() - cpu) / len(arrivals)
    for what, times in (("one arrival", looked), ("of it CPU", computed)):
        p50, p95 = (stage.percentile(times, share) for share in (0.5, 0.95))
        print(f"{what:16} p50 {p50:5.1f}  p95 {p95:5.1f} ms")
    print(f"in batches           {together:5.1f} ms of CPU per arrival")
    print(f"comparing            {statistics.mean(compared):5.1f} ms of CPU per arrival")
    print(f"candidates           {statistics.mean(found):5.1f} per arrival")
    print(f"right one found      {100 * met / len(arrivals):5.1f} %")


async def main(options: argparse.Namespace) -> None:
    rng = Random(1)
    stored = list(names(options.names, options.stored, rng))
    arrivals = {
        ids.organization(COMPANY, number): record(10**9 + number, misspelt(name, rng))
        for number, name in rng.sample(list(enumerate(stored, 1)), options.arrivals)
    }
    async with (
        stage.scratch_schema(options.dsn, SCHEMA, MIGRATIONS),
        db.pool(options.dsn, SCHEMA, size=2, durable=False) as pool,
    ):
        await fill(pool, stored)
        lifecycle.spare_the_collector()  # as in the service
        await measure(pool, arrivals)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", nargs="?", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("--names", type=Path, nargs="*", default=[])
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--arrivals", type=int, default=300)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(parser.parse_args()))
