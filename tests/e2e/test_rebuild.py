"""Rebuilding each store while all goes on: the same rows after, and nobody notices."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from shared.rebuild.command import LOCK
from tests.support import histories
from tests.support.cluster import ROOT, SECRET, Cluster, token
from tests.support.pipe import COMPANY, a_tenant, life, push
from tests.support.waiting import until

pytestmark = pytest.mark.e2e

LONG_AGO = timedelta(days=400)
BREATH_S = 0.05
SERVICES = ("orgs", "scoring", "query")
# What is compared, without what says when it was written, or whether work is left to be done:
# versions of states are times.
TABLES = {
    "orgs": {
        "records": ("unasked",),
        "organizations": ("published",),
        "contacts": ("published",),
        "activities": (),
        "merges": (),
    },
    "scoring": {
        "persons": (),
        "activities": (),
        "deals": (),
        "leads": (),
        "contacts": ("published",),
        "score_changes": (),
    },
    "query": {
        "contacts": ("link_version", "score_version"),
        "organizations": ("version",),
        "activities": (),
        "user_counts": (),
        "store": (),
        "users": (),
        "revocations": (),
    },
}


def is_former(table: str, line: str) -> bool:
    """What was there for a while: counters that went up and down again, ids that were an
    organization's and lead nowhere. Which there are follows from where batches were cut.
    """
    if table == "organizations":
        return '"deleted": true' in line and '"merged_into": null' in line
    return '"contacts": 0' in line


def without_last_score(line: str) -> str:
    """Of a contact that was deleted nobody tells a score: what it last was depends on batches."""
    row = json.loads(line)
    if row.get("deleted"):
        for name in ("score", "last_contacted", "contacted_key"):
            row.pop(name, None)
    return json.dumps(row, ensure_ascii=False)


async def former_ids(database_url: str) -> set[Any]:
    conn = await asyncpg.connect(database_url)
    try:
        found = await conn.fetch("SELECT organization_id FROM orgs.organizations WHERE deleted")
        return {row[0] for row in found}
    finally:
        await conn.close()


def contacts_life(seed: int, events: int) -> list[dict[str, Any]]:
    """A history in which nobody's account is closed: who has none reads nothing. It ended so long
    ago that no score changes by time alone while stores are compared.
    """
    bodies = life(seed, events, ago=LONG_AGO)
    return [
        each for each in bodies if "user" not in (*map(each["meta"].get, ("entity", "object")),)
    ]


async def rows(database_url: str, service: str) -> dict[str, list[str]]:
    conn = await asyncpg.connect(database_url)
    try:
        found = {}
        for table, clocks in TABLES[service].items():
            sql = f"SELECT (to_jsonb(t) - $1::text[])::text FROM {service}.{table} AS t"  # noqa: S608
            told = await conn.fetch(sql, list(clocks))
            lines = [row[0] for row in told if not is_former(table, row[0])]
            found[table] = sorted(map(without_last_score, lines))
        return found
    finally:
        await conn.close()


def assert_same(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> None:
    """Else it says which rows only one of them has, a few of each table."""
    found = []
    for table, lines in ours.items():
        only = [f"+ {line}" for line in sorted(set(lines) - set(theirs[table]))[:3]]
        only += [f"- {line}" for line in sorted(set(theirs[table]) - set(lines))[:3]]
        if only or len(lines) != len(theirs[table]):
            found += [f"{table}: {len(lines)} rows and {len(theirs[table])}", *only]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


async def begin_rebuild(
    cluster: Cluster, service: str, *words: str, **environment: str
) -> asyncio.subprocess.Process:
    env = {
        **os.environ,
        **cluster.environment,
        "JWT_SECRET": SECRET,
        "TENANTS_FILE": str(cluster.folder / "tenants.json"),
        **environment,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{service}",
        "rebuild",
        *words,
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def rebuild(cluster: Cluster, service: str, *words: str) -> str:
    process = await begin_rebuild(cluster, service, *words)
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@dataclass
class Reads:
    """What readers were answered while something went on."""

    done: int = 0
    failed: list[str] = field(default_factory=list)


@asynccontextmanager
async def reading(
    cluster: Cluster, urls: Iterable[str], users: Iterable[str]
) -> AsyncIterator[Reads]:
    reads = Reads()
    over = asyncio.Event()

    async def reader(url: str, user: str) -> None:
        while not await is_over():
            try:
                status, body = await cluster.get(url, COMPANY, user)
            except Exception as error:  # noqa: BLE001  whatever it is, it is a failure
                reads.failed.append(f"{url}: {error!r}")
                continue
            reads.done += 1
            if status != 200 or not body["success"]:
                reads.failed.append(f"{url}: {status} {body}")

    async def is_over() -> bool:
        """Asked after a breath: readers that take none leave the others no processor."""
        await asyncio.wait([ending], timeout=BREATH_S)
        return over.is_set()

    async with asyncio.TaskGroup() as group:
        ending = group.create_task(over.wait())
        for url in urls:
            for user in users:
                group.create_task(reader(url, user))
        yield reads
        over.set()


LOOKS = 3


async def revoke_all(cluster: Cluster, query_url: str) -> None:
    """All tokens of a user who is in no history."""
    headers = {"Authorization": f"Bearer {token(COMPANY, '424242')}"}
    async with cluster.http.post(
        f"{query_url}/api/sessions/revoke", json={}, headers=headers
    ) as response:
        assert response.status == 200, await response.text()


async def at_rest(database_url: str) -> None:
    """Until no state is on its way: nothing moves, and nothing is in the outboxes."""
    seen: list[Any] = []

    async def look() -> bool:
        conn = await asyncpg.connect(database_url)
        try:
            waiting = await conn.fetchval(
                "SELECT (SELECT count(*) FROM orgs.outbox) + (SELECT count(*) FROM scoring.outbox)"
            )
            offsets = await conn.fetch(
                "SELECT topic, partition, next_offset FROM orgs.consumer_offsets UNION ALL "
                "SELECT topic, partition, next_offset FROM scoring.consumer_offsets UNION ALL "
                "SELECT topic, partition, next_offset FROM query.consumer_offsets"
            )
        finally:
            await conn.close()
        seen.append(sorted(map(tuple, offsets)))
        return bool(waiting == 0 and offsets and seen[-LOOKS:] == [seen[-1]] * LOOKS)

    await until(look, 60, every_s=0.7)


@dataclass(frozen=True, slots=True)
class Filled:
    """Stores that hold a whole history, and what is in them. A rebuild leaves it so."""

    cluster: Cluster
    rows: dict[str, dict[str, list[str]]]

    @property
    def database_url(self) -> str:
        return self.cluster.environment["DATABASE_URL"]


@pytest.fixture(scope="module")
async def filled(shared_cluster: Cluster) -> Filled:
    shared_cluster.write_tenants([a_tenant(COMPANY)])
    services = await shared_cluster.start_all()
    await revoke_all(shared_cluster, services["query"].url)
    sent = histories.shuffled_with_duplicates(life(21, 1200, ago=LONG_AGO), seed=21)
    await push(shared_cluster, services["ingest"], sent)
    database_url = shared_cluster.environment["DATABASE_URL"]
    await at_rest(database_url)
    before = {each: await rows(database_url, each) for each in SERVICES}
    return Filled(shared_cluster, before)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_store_is_the_same_after_it_was_rebuilt(filled: Filled, service: str) -> None:
    former = await former_ids(filled.database_url)

    said = await rebuild(filled.cluster, service)

    assert "; 0 could not be read" in said
    assert_same(await rows(filled.database_url, service), filled.rows[service])
    assert former <= await former_ids(filled.database_url)
    await at_rest(filled.database_url)
    for each in SERVICES:
        assert_same(await rows(filled.database_url, each), filled.rows[each])


async def test_nobody_notices_a_rebuild(cluster: Cluster, database_url: str) -> None:
    history = contacts_life(31, 2500)
    cluster.write_tenants([a_tenant(COMPANY)])
    services = await cluster.start_all()
    await push(cluster, services["ingest"], history[:800])
    urls = [
        f"{services['query'].url}/api/my-500?limit=50",
        f"{services['query'].url}/api/organizations",
        f"{services['query'].url}/api/stats",
        f"{services['orgs'].url}/api/organizations/search?q=a",
    ]
    rest = iter(history[800:])

    async def keep_writing(share: Iterator[dict[str, Any]], done: asyncio.Event) -> None:
        while not done.is_set():
            chunk = list(itertools.islice(share, 10))
            if not chunk:
                return
            assert set(await push(cluster, services["ingest"], chunk)) == {200}

    async with reading(cluster, urls, ["1001", "1002", "1003"]) as reads:
        for service in SERVICES:
            share, done = itertools.islice(rest, len(history) // 4), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_writing(share, done))
                for _ in range(2):
                    assert "switched" in await rebuild(cluster, service, "--restart")
                done.set()
            await push(cluster, services["ingest"], share)

    assert reads.failed == []
    assert reads.done > 100
    for one in services.values():
        assert one.process.poll() is None
        assert "request_failed" not in one.log.read_text()
    await push(cluster, services["ingest"], rest)
    await at_rest(database_url)
    after = {each: await rows(database_url, each) for each in SERVICES}
    for each in SERVICES:
        await rebuild(cluster, each)
        assert_same(await rows(database_url, each), after[each])


async def is_begun(database_url: str) -> bool:
    conn = await asyncpg.connect(database_url)
    try:
        sql = "SELECT sum(next_offset) FROM query_next.consumer_offsets"
        return bool(await conn.fetchval(sql))
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await conn.close()


async def read_by(database_url: str, service: str) -> int:
    conn = await asyncpg.connect(database_url)
    try:
        sql = f"SELECT sum(next_offset) FROM {service}.consumer_offsets"  # noqa: S608
        return int(await conn.fetchval(sql))
    finally:
        await conn.close()


async def says(process: asyncio.subprocess.Process, words: str) -> bool:
    """Reads what it says until then; `communicate` has the rest."""
    if process.stdout is None:
        raise AssertionError("its output is read")
    return words in (await process.stdout.readline()).decode()


async def test_a_rebuild_that_was_killed_or_interrupted_goes_on_where_it_was(
    filled: Filled,
) -> None:
    slowly = {"BATCH_RECORDS": "20"}
    process = await begin_rebuild(filled.cluster, "query", **slowly)

    await until(lambda: is_begun(filled.database_url))
    process.kill()
    await process.wait()
    process = await begin_rebuild(filled.cluster, "query", **slowly)
    await until(lambda: says(process, "resuming query_next"))
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "query: stopped; the same command resumes from here"
    assert process.returncode == 1

    said = await rebuild(filled.cluster, "query", "--drop-old")

    assert "query: resuming query_next" in said
    assert f"switched after {await read_by(filled.database_url, 'query'):,} records" in said
    assert "query_old dropped" in said
    assert_same(await rows(filled.database_url, "query"), filled.rows["query"])


async def test_two_rebuilds_of_a_store_do_not_run_at_a_time(shared_cluster: Cluster) -> None:
    conn = await asyncpg.connect(shared_cluster.environment["DATABASE_URL"])
    try:
        await conn.execute("SELECT pg_advisory_lock($1, hashtext('query'))", LOCK)
        process = await begin_rebuild(shared_cluster, "query")
        out, _ = await process.communicate()
    finally:
        await conn.close()

    assert process.returncode == 1
    assert "another rebuild of query is running" in out.decode()


async def test_a_rebuild_without_postgres_says_so(shared_cluster: Cluster) -> None:
    nowhere = "postgresql://postgres@127.0.0.1:1/none"

    process = await begin_rebuild(shared_cluster, "orgs", DATABASE_URL=nowhere)
    out, _ = await process.communicate()

    assert process.returncode == 1
    (line,) = out.decode().splitlines()
    assert line.startswith("orgs: not rebuilt: Postgres: ")


@pytest.mark.parametrize("service", ["", "ingest", "query orgs"])
def test_what_is_no_store_is_not_rebuilt(service: str) -> None:
    done = subprocess.run(
        ["make", "--silent", "rebuild", f"SERVICE={service}", "INSTALLED=", "PYTHON=false"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"SERVICE is query, orgs or scoring, not '{service}'\n")
