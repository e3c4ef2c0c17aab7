"""A read model of maximum size: one user with 500,000 contacts among users with 500 each.

    python -m bench.data [--database bench] [--scale 1.0] [--keep]

Drops and creates the database on the server of QUERY_DATABASE_URL or DATABASE_URL, migrates it,
loads it by COPY, fills the counters and the search index as the services would, and analyzes it.
The index is built by a separate process, as soon as its contacts exist. Prints the time of each
step and the URL. With `--keep` an existing database of this scale is kept.

Rule: the same scale gives the same rows.
"""

import argparse
import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from random import Random
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import uvloop

from bench.people import DOMAINS, People, firms
from services.query.main import MIGRATIONS, SCHEMA
from services.query.searching.indexer import Indexer
from shared import db, ids, service

COMPANY = 9001
USER = 1
"""The user who owns the most."""
OTHERS = range(1001, 1501)
START = datetime(2024, 1, 1, tzinfo=UTC)
BLOCK = 20_000
TOGETHER = 10 * BLOCK
KINDS = ("call", "meeting", "email", "task", "lunch")
SUBJECTS = ("Follow-up", "Offer", "Demo", "Kick-off", "Renewal", "Check-in", "Intro", "Contract")

CONTACT_COLUMNS = (
    "contact_id", "company_id", "person_id", "version", "event_id", "deleted", "owner_id", "name",
    "email", "phone", "job_title", "add_time", "update_time", "link_version", "organization_id",
    "score_version", "score", "last_contacted", "campaign_version", "added_to_campaign",
)  # fmt: skip
ORGANIZATION_COLUMNS = (
    "company_id", "organization_id", "version", "deleted", "name", "pipedrive_org_id", "industry",
    "website", "country", "contact_count",
)  # fmt: skip
ACTIVITY_COLUMNS = (
    "company_id", "activity_id", "version", "rank", "event_id", "deleted", "person_id", "type",
    "subject", "done", "due_date", "add_time",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    contacts: int
    organizations: int
    activities: int
    contacts_of_others: int

    @classmethod
    def of(cls, factor: float) -> "Scale":
        return cls(
            int(500_000 * factor), int(50_000 * factor), int(2_000_000 * factor), int(500 * factor)
        )

    @property
    def persons(self) -> int:
        return self.contacts + len(OTHERS) * self.contacts_of_others


def line(*values: object) -> bytes:
    r"""A row in COPY's text format; none of our texts holds a tab or a backslash."""
    return ("\t".join("\\N" if v is None else str(v) for v in values) + "\n").encode()


def contact_lines(scale: Scale) -> Iterator[bytes]:
    random = Random(1)
    people = People(random)
    of_firms = firms(Random(2), scale.organizations)
    titles = ("CEO", "CTO", "Sales Manager", "Head of Purchasing", "Engineer", None)
    for number in range(1, scale.persons + 1):
        # Squared: some organizations have hundreds of contacts, most have a few.
        firm = int(random.random() ** 1.7 * scale.organizations)
        has_firm = random.random() < 0.9
        domain = of_firms[firm][1] if has_firm and random.random() < 0.7 else None
        person = people.person(domain or random.choice(DOMAINS))
        added = START + timedelta(minutes=random.randrange(10**6))
        contacted = added + timedelta(minutes=random.randrange(4 * 10**5))
        yield line(
            ids.contact.__wrapped__(COMPANY, number), COMPANY, number, 1, number, "f",
            owner_of(number, scale), person.name, person.email, person.phone,
            random.choice(titles), added, contacted, 1,
            ids.organization(COMPANY, firm + 1) if has_firm else None, 1,
            min(10, int(random.expovariate(0.3))), contacted if random.random() < 0.6 else None,
            1, "t" if random.random() < 0.03 else "f",
        )  # fmt: skip


def owner_of(person: int, scale: Scale) -> int:
    if person <= scale.contacts:
        return USER
    return OTHERS[(person - scale.contacts - 1) % len(OTHERS)]


def organization_lines(scale: Scale) -> Iterator[bytes]:
    random = Random(3)
    industries = ("Energy", "Food", "Software", "Logistics", None)
    for number, (name, domain) in enumerate(firms(Random(2), scale.organizations), 1):
        yield line(
            COMPANY, ids.organization(COMPANY, number), 1, "f", name, number,
            random.choice(industries), f"https://{domain}", random.choice(("DE", "FR", "EE")), 0,
        )  # fmt: skip


def activity_lines(scale: Scale) -> Iterator[bytes]:
    random = Random(4)
    for number in range(1, scale.activities + 1):
        person = 1 + random.randrange(scale.contacts)
        day = date(2025, 1, 1) + timedelta(days=random.randrange(500))
        kind, subject = random.choice(KINDS), random.choice(SUBJECTS)
        done = "t" if random.random() < 0.8 else "f"
        yield line(
            COMPANY, number, 1, 0, number, "f", person, kind, subject, done, day,
            f"{day} 08:{number % 60:02d}:00+00",
        )  # fmt: skip


async def copy(
    conn: asyncpg.Connection, table: str, columns: Iterable[str], lines: Iterator[bytes]
) -> None:
    """In several transactions: an index is begun when all those from before have ended."""

    async def blocks(some: Iterator[bytes]) -> AsyncIterator[bytes]:
        while block := list(islice(some, BLOCK)):
            yield b"".join(block)

    while (head := next(lines, None)) is not None:
        some = islice(chain([head], lines), TOGETHER)
        await conn.copy_to_table(table, source=blocks(some), columns=list(columns))


async def load_people(conn: asyncpg.Connection, scale: Scale) -> None:
    """Organizations and contacts."""
    await copy(conn, "organizations", ORGANIZATION_COLUMNS, organization_lines(scale))
    await copy(conn, "contacts", CONTACT_COLUMNS, contact_lines(scale))
    await conn.execute(LISTS)


async def load_activities(conn: asyncpg.Connection, scale: Scale) -> None:
    await copy(conn, "activities", ACTIVITY_COLUMNS, activity_lines(scale))


LISTS = """INSERT INTO user_counts
       SELECT company_id, owner_id, not_in_campaign, score, count(*)
         FROM contacts WHERE listed GROUP BY 1, 2, 3, 4"""
COUNTERS = (
    """UPDATE organizations AS o SET contact_count = found.contacts
         FROM (SELECT organization_id, count(*) AS contacts FROM contacts WHERE listed
                GROUP BY 1) AS found
        WHERE o.organization_id = found.organization_id""",
    """INSERT INTO user_organizations (company_id, organization_id, owner_id, contacts, living,
                                       sort_name, fewest)
       SELECT c.company_id, c.organization_id, c.owner_id, count(*), NOT o.deleted, o.sort_name,
              -o.contact_count
         FROM contacts AS c JOIN organizations AS o USING (company_id, organization_id)
        WHERE c.listed GROUP BY 1, 2, 3, 5, 6, 7""",
    """INSERT INTO sync_status VALUES (9001, 1, 'idle', now(), 1, 0)""",
)


async def count(conn: asyncpg.Connection, _: Scale) -> None:
    """The counters of organizations."""
    for statement in COUNTERS:
        await conn.execute(statement)


async def tally(conn: asyncpg.Connection, _: Scale) -> None:
    """The statistics, by the statements that fill them for rows that are there already."""
    sql = next(MIGRATIONS.glob("0003_*.sql")).read_text()
    await conn.execute("ANALYZE contacts, activities")
    for table in ("user_totals", "user_activities"):
        start = sql.index(f"INSERT INTO {table}")
        await conn.execute(sql[start : sql.index(";", start)])


async def index_search(dsn: str) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        await asyncio.get_running_loop().run_in_executor(processes, _indexed, dsn)


def _indexed(dsn: str) -> None:
    async def drain() -> None:
        async with db.pool(dsn, SCHEMA, size=2, durable=False) as pool:
            await Indexer(pool).drain()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(drain())


async def analyze(conn: asyncpg.Connection, _: Scale) -> None:
    await conn.execute("VACUUM (ANALYZE)")


Step = Callable[[asyncpg.Connection, Scale], Awaitable[None]]
BESIDE_THE_INDEX: tuple[Step, ...] = (load_activities, count, tally)


def server_url() -> str:
    return os.environ.get("QUERY_DATABASE_URL") or os.environ["DATABASE_URL"]


def on_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def make(database: str, scale: Scale, *, keep: bool = False) -> str:
    """The URL of the loaded database."""
    dsn = on_database(server_url(), database)
    admin = await asyncpg.connect(server_url())
    try:
        there = await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database)
        if there and keep and await _is_whole(dsn, scale):
            return dsn
        await admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        await admin.execute(f'CREATE DATABASE "{database}"')
    finally:
        await admin.close()
    await service.prepare_store(dsn, SCHEMA, MIGRATIONS, asyncio.Event())
    conn = await asyncpg.connect(
        dsn,
        server_settings={
            "search_path": f"{SCHEMA},public",
            "synchronous_commit": "off",
            "work_mem": "256MB",
            "maintenance_work_mem": "512MB",
        },
    )
    try:
        await timed("load_people", load_people(conn, scale))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(timed("index_search", index_search(dsn)))
            for step in BESIDE_THE_INDEX:
                await timed(step.__name__, step(conn, scale))
        await timed("analyze", analyze(conn, scale))
    finally:
        await conn.close()
    return dsn


async def _is_whole(dsn: str, scale: Scale) -> bool:
    conn = await asyncpg.connect(dsn)
    try:
        found = await conn.fetchval(
            f"SELECT count(*) FROM {SCHEMA}.search_slots WHERE owner_id = $1",  # noqa: S608
            USER,
        )
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await conn.close()
    return bool(found == scale.contacts)


async def timed(name: str, step: Awaitable[None]) -> None:
    began = time.perf_counter()
    await step
    print(f"{name:18} {time.perf_counter() - began:6.1f} s", flush=True)


def contact_id(person: int) -> UUID:
    return ids.contact(COMPANY, person)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="bench")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        dsn = runner.run(make(arguments.database, Scale.of(arguments.scale), keep=arguments.keep))
    print(f"{'altogether':18} {time.perf_counter() - began:6.1f} s\n{dsn}")


if __name__ == "__main__":
    main()
