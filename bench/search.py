"""How long a search takes at 500,000 contacts of one user, by what is typed.

    python -m bench.search [--suggest] [--database bench] [--each 60] [--changes 200] [--scale 1.0]

Creates the data if it does not exist (`bench.data`). Each text is searched twice: the first pass
uses words not searched before, the second is warm; then both again with other texts while another
process projects so many changes per second for the same user, indexer included. Restart Postgres
before to make the first pass cold. One request at a time, reads only, no cache: what is measured
is `reading.search` with its snapshot; with `--suggest`, `reading.suggest` for the first letters of
names that many have, and that few have. Prints milliseconds, and those over 100; the last columns
are CPU time, of Postgres' process and this one, which other load on the machine hardly affects:
what an answer would take with the CPU to itself.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import uvloop

from bench import data
from bench.search_texts import Row, Typed, beginnings, typed
from bench.stage import percentile
from services.query.batch import User
from services.query.main import SCHEMA
from services.query.reading import snapshot
from services.query.searching import reading
from services.query.searching.request import SearchQuery, SuggestQuery
from shared import db, lifecycle

USER = User(data.COMPANY, data.USER)
BAR_MS = 100.0

SAMPLE = """
SELECT contact_id::text, c.name, email, phone, o.name AS organization
  FROM contacts AS c
  LEFT JOIN organizations AS o USING (company_id, organization_id)
 WHERE c.contact_id = ANY($1::uuid[])
"""


async def sample(pool: db.Pool, scale: data.Scale, random: Random, count: int) -> list[Row]:
    numbers = random.sample(range(1, scale.contacts + 1), count)
    rows = await pool.fetch(SAMPLE, [data.contact_id(number) for number in numbers])
    return [Row(*row) for row in rows]


class Took(NamedTuple):
    """Milliseconds: wall-clock, and CPU."""

    clock: float
    processor: float


Answer = Callable[[db.Connection, str], Awaitable[object]]


async def search(conn: db.Connection, text: str) -> None:
    await reading.search(conn, USER, SearchQuery(q=text[:200]).request())


async def suggest(conn: db.Connection, text: str) -> None:
    await reading.suggest(conn, USER, SuggestQuery(q=text).request())


async def ask(pool: db.Pool, answer: Answer, text: str) -> Took:
    began, own = time.perf_counter(), time.process_time()
    async with snapshot(pool) as conn:
        server = Path(f"/proc/{conn.get_server_pid()}/schedstat")
        theirs = busy_ms(server)
        await answer(conn, text)
        theirs = busy_ms(server) - theirs
    clock, own = time.perf_counter() - began, time.process_time() - own
    return Took(clock * 1000, own * 1000 + theirs)


def busy_ms(schedstat: Path) -> float:
    return int(schedstat.read_text().split()[0]) / 1e6


async def measure(pool: db.Pool, answer: Answer, texts: Sequence[Typed], title: str) -> None:
    times: defaultdict[str, list[Took]] = defaultdict(list)
    for each in texts:
        times[each.kind].append(await ask(pool, answer, each.text))
    columns = " ".join(f"{name:>7}" for name in ("p50", "p95", "p99", "max"))
    print(f"\n{title:18} {columns}  over {BAR_MS:.0f}   cpu: {columns}")
    everything = [took for found in times.values() for took in found]
    for kind, found in [*times.items(), ("all", everything)]:
        print(f"{kind:18} {figures(found)}")


def figures(found: Sequence[Took]) -> str:
    over = sum(took.clock > BAR_MS for took in found)
    clock = cuts([took.clock for took in found])
    return f"{clock}  {over:8}        {cuts([took.processor for took in found])}"


def cuts(found: Sequence[float]) -> str:
    return " ".join(f"{percentile(found, share):7.1f}" for share in (0.5, 0.95, 0.99, 1.0))


@asynccontextmanager
async def changing(dsn: str, scale: float, per_second: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.search_changes", dsn, str(scale), str(per_second),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if process.stdout is not None:
        await process.stdout.readline()
    try:
        yield
    finally:
        process.terminate()
        said, _ = await process.communicate()
        print(said.decode().strip())


async def main(given: argparse.Namespace) -> None:
    scale = data.Scale.of(given.scale)
    dsn = await data.make(given.database, scale, keep=True)
    answer, make = (suggest, beginnings) if given.suggest else (search, typed)
    async with db.pool(dsn, SCHEMA, size=4) as pool:
        rows = await sample(pool, scale, Random(5), 2_000)
        quiet = make(rows, given.each, Random(6))
        await ask(pool, answer, "x")  # connects
        lifecycle.spare_the_collector()  # as a service does
        await measure(pool, answer, quiet, "first")
        await measure(pool, answer, quiet, "warm")
        if given.changes:
            busy = make(rows, given.each, Random(7))
            async with changing(dsn, given.scale, given.changes):
                await measure(pool, answer, busy, f"first, {given.changes}/s")
                await measure(pool, answer, busy, f"warm, {given.changes}/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suggest", action="store_true")
    parser.add_argument("--database", default="bench")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--changes", type=int, default=200)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(parser.parse_args()))
