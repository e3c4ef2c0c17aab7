"""A first full sync from an unlimited double into pages, then one that changes nothing.

`python -m bench.sync [--contacts 50000] [--organizations 5000] [--activities 100000]
[--projectors 2]`
The clock stops when every contact and activity stands in the read model and no score or link
changes any more. Prints contacts/s into the log and into pages, each process' memory on the way,
and what the second sync published: nothing but its own status.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import stage
from devstack.stack import Stack
from tests.support.cluster import Cluster, Instance
from tests.support.double import Double, double
from tests.support.pipe import COMPANY, a_tenant
from tests.support.syncing import Asking
from tests.support.waiting import until

LONGEST_S = 3600
QUIET_S = 10.0
DONE = """
SELECT count(*) FILTER (WHERE name IS NOT NULL) AS persons,
       count(*) FILTER (WHERE score_version > 0) AS scored,
       count(*) FILTER (WHERE organization_id IS NOT NULL) AS linked,
       (SELECT count(*) FROM query.activities) AS activities,
       (SELECT count(*) FROM scoring.score_changes) AS score_changes
  FROM query.contacts
"""
STORES = """
SELECT (SELECT count(*) FROM scoring.score_changes) AS score_changes,
       (SELECT count(*) FROM query.contacts) AS contacts
"""


@dataclass
class Memory:
    """Resident memory of each process, in MB, whenever it was looked at."""

    seen: dict[str, list[int]] = field(default_factory=dict)

    async def watch(self, processes: Mapping[str, psutil.Process]) -> None:
        while True:
            for name, process in processes.items():
                self.seen.setdefault(name, []).append(process.memory_info().rss // 2**20)
            await asyncio.sleep(1)

    def table(self) -> str:
        """The peak, and how it stood at a third, two thirds and the end of the time."""
        lines = []
        for name, sizes in sorted(self.seen.items()):
            at = [sizes[int((len(sizes) - 1) * share)] for share in (0.33, 0.67, 1.0)]
            lines.append(f"  {name:<12}{at[0]:>6}{at[1]:>6}{at[2]:>6} MB, peak {max(sizes)}")
        return "\n".join(lines)


async def visible(dsn: str, contacts: int, activities: int) -> float:
    """When the last row changed, by the clock of `perf_counter`."""
    conn = await asyncpg.connect(dsn)
    last, changed_at = None, time.perf_counter()

    async def is_done() -> bool:
        nonlocal last, changed_at
        row = dict(await conn.fetchrow(DONE) or {})
        if row != last:
            last, changed_at = row, time.perf_counter()
        complete = row["persons"] == row["scored"] == contacts
        complete = complete and row["activities"] == activities
        return complete and time.perf_counter() - changed_at > QUIET_S

    try:
        await until(is_done, LONGEST_S, every_s=1)
    finally:
        await conn.close()
    return changed_at


async def ends(servers: str) -> dict[str, int]:
    """How many records each topic has."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        found: dict[str, int] = {}
        for topic in await consumer.topics():
            numbers = await consumer._client._wait_on_metadata(topic)  # noqa: SLF001  known to all
            parts = [TopicPartition(topic, number) for number in numbers]
            found[topic] = sum((await consumer.end_offsets(parts)).values())
        return found
    finally:
        await consumer.stop()


async def first(
    asking: Asking, running: Cluster, stack: Stack, chosen: argparse.Namespace
) -> None:
    memory, dsn = Memory(), running.environment["DATABASE_URL"]
    names = [f"{i.service}-{n}" for n, i in enumerate(running.instances)]
    processes = dict(
        zip(names, (psutil.Process(i.process.pid) for i in running.instances), strict=True)
    )
    watching = asyncio.create_task(memory.watch(processes))
    before, began = stage.cpu_seconds(running, stack), time.perf_counter()
    shown = asyncio.create_task(visible(dsn, chosen.contacts, chosen.activities))
    told = await asking.done(await asking.connect(), LONGEST_S)
    read_s = time.perf_counter() - began
    pages_s = await shown - began
    watching.cancel()
    stage.say(f"into the log {read_s:.1f} s: {rate(told, read_s)}, {told['tokens']:,} tokens")
    stage.say(f"into pages {pages_s:.1f} s: {chosen.contacts / pages_s:,.0f} contacts/s")
    stage.say(stage.shares(before, stage.cpu_seconds(running, stack)))
    stage.say(memory.table())


def rate(told: dict[str, Any], seconds: float) -> str:
    rows = sum(of["read"] for of in told["entities"].values())
    return f"{rows:,} rows, {rows / seconds:,.0f} rows/s"


async def second(asking: Asking, running: Cluster) -> None:
    servers = running.environment["KAFKA_BOOTSTRAP_SERVERS"]
    conn = await asyncpg.connect(running.environment["DATABASE_URL"])
    try:
        topics, stores = await ends(servers), await conn.fetchrow(STORES)
        began = time.perf_counter()
        told = await asking.sync("full", LONGEST_S)
        seconds = time.perf_counter() - began
        await asyncio.sleep(QUIET_S)
        after = await ends(servers)
        grown = {name: after[name] - held for name, held in topics.items() if after[name] != held}
        later = await conn.fetchrow(STORES)
        stage.say(f"again {seconds:.1f} s: {rate(told, seconds)}; records published {grown}")
        stage.say(f"before {dict(stores or {})}, after {dict(later or {})}")
    finally:
        await conn.close()


async def measure(chosen: argparse.Namespace) -> None:
    async with stage.cluster() as (running, stack):
        sizes = f"{chosen.contacts},{chosen.organizations},{chosen.activities}"
        unlimited = ("--burst", "0", "--daily-tokens", "0", "--generated", sizes)
        async with double(running.folder, COMPANY, *unlimited) as pipedrive:
            asking = await _started(running, pipedrive, chosen.projectors)
            await first(asking, running, stack, chosen)
            await second(asking, running)


async def _started(running: Cluster, pipedrive: Double, projectors: int) -> Asking:
    running.write_tenants([{**a_tenant(COMPANY), **pipedrive.tenant()}])
    services: dict[str, Instance] = await running.start_all()
    for _ in range(projectors - 1):
        await running.ready(running.start("query", "projector"))
    asking = Asking(running, services["ingest"])
    await asking.ready()
    return asking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=50_000)
    parser.add_argument("--organizations", type=int, default=5_000)
    parser.add_argument("--activities", type=int, default=100_000)
    parser.add_argument("--projectors", type=int, default=2)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
