"""A first full sync from an unlimited double into pages, then one that changes nothing.

`python -m bench.sync [--contacts 50000] [--organizations 5000] [--activities 100000]
[--projectors 2] [--kills 0] [--live]`
The clock stops when every contact and activity is in the read model and no score or link changes
any more. Prints rows/s into the log, how soon every contact was listed with a score (activities
are read after them), contacts/s into pages, each process' memory on the way, a checksum of the
final state, and what the second sync published: nothing but its own status. With `--kills` one
service after the other is killed by SIGKILL and restarted, so many times spread over the first
sync; the checksum must be the same as without. With `--live` there are live changes meanwhile: a
webhook renames a person once a second, and the page is requested until it shows that.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import latency, stage
from bench.latency import Probe
from devstack.stack import Stack
from tests.support.cluster import Cluster, Instance
from tests.support.double import double
from tests.support.pipe import COMPANY, a_tenant
from tests.support.syncing import Asking

LONGEST_S = 3600
QUIET_S = 10.0
PROJECTOR = "projector"
DONE = """
SELECT count(*) FILTER (WHERE name IS NOT NULL) AS persons,
       count(*) FILTER (WHERE score_version > 0) AS scored,
       count(*) FILTER (WHERE organization_id IS NOT NULL) AS linked,
       (SELECT count(*) FROM query.activities) AS activities,
       (SELECT count(*) FROM scoring.score_changes) AS score_changes
  FROM query.contacts
"""
# What is the same in each run: scores depend on the clock, ids are random, what is due and done
# depends on the double's start.
SUM = """
SELECT (SELECT sum(hashtextextended(concat_ws('|', c.person_id, c.name, c.email, c.phone,
                                              c.owner_id, c.listed, o.pipedrive_org_id), 0))
          FROM query.contacts c
          LEFT JOIN query.organizations o USING (company_id, organization_id)) AS contacts,
       (SELECT sum(hashtextextended(concat_ws('|', activity_id, person_id, type, subject), 0))
          FROM query.activities) AS activities,
       (SELECT sum(hashtextextended(concat_ws('|', pipedrive_org_id, name, contact_count), 0))
          FROM query.organizations
         WHERE NOT deleted) AS organizations
"""
STORES = """
SELECT (SELECT count(*) FROM scoring.score_changes) AS score_changes,
       (SELECT count(*) FROM query.contacts) AS contacts
"""


@dataclass
class Memory:
    """Resident memory of each service, in MB, at each sample."""

    seen: dict[str, list[int]] = field(default_factory=dict)

    async def watch(self, services: dict[str, Instance]) -> None:
        while True:
            for name, instance in services.items():
                size = psutil.Process(instance.process.pid).memory_info().rss
                self.seen.setdefault(name, []).append(size // 2**20)
            await asyncio.sleep(1)

    def table(self) -> str:
        """The peak, and the values at a third, two thirds and the end of the time."""
        lines = []
        for name, sizes in sorted(self.seen.items()):
            at = [sizes[int((len(sizes) - 1) * share)] for share in (0.33, 0.67, 1.0)]
            lines.append(f"  {name:<12}{at[0]:>6}{at[1]:>6}{at[2]:>6} MB, peak {max(sizes)}")
        return "\n".join(lines)


@dataclass
class Pages:
    """The read model's content, watched until nothing changes any more."""

    dsn: str
    contacts: int
    activities: int
    share: float = 0.0
    listed_at: float | None = None
    """When every contact was there with a score, by the clock of `perf_counter`."""

    async def complete(self) -> float:
        """When the last row changed, by the clock of `perf_counter`."""
        conn = await asyncpg.connect(self.dsn)
        last, changed_at = None, time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_S):
                while self.share < 1 or time.perf_counter() - changed_at < QUIET_S:
                    began = time.perf_counter()
                    row = dict(await conn.fetchrow(DONE) or {})
                    if row != last:
                        last, changed_at = row, began
                    if self.listed_at is None and self._listed(row) == self.contacts:
                        self.listed_at = began
                    self.share = self._share(row)
                    # Counting large tables must not slow down what is measured.
                    await asyncio.sleep(max(1.0, 30 * (time.perf_counter() - began)))
        finally:
            await conn.close()
        return changed_at

    async def sum(self) -> dict[str, int]:
        conn = await asyncpg.connect(self.dsn)
        try:
            return {name: int(value) for name, value in (await conn.fetchrow(SUM) or {}).items()}
        finally:
            await conn.close()

    def _share(self, row: dict[str, int]) -> float:
        return (self._listed(row) + row["activities"]) / (self.contacts + self.activities)

    def _listed(self, row: dict[str, int]) -> int:
        return min(row["persons"], row["scored"])


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
    asking: Asking,
    running: Cluster,
    stack: Stack,
    services: dict[str, Instance],
    chosen: argparse.Namespace,
) -> None:
    memory = Memory()
    pages = Pages(running.environment["DATABASE_URL"], chosen.contacts, chosen.activities)
    before, began = stage.cpu_seconds(running, stack), time.perf_counter()
    watching = asyncio.create_task(memory.watch(services))
    sync_id = await asking.connect()
    working = latency.Run(running, services["ingest"], services["query"])
    async with asyncio.TaskGroup() as tasks:
        complete = tasks.create_task(pages.complete())
        tasks.create_task(kill(running, services, pages, chosen.kills))
        if chosen.live:
            tasks.create_task(work(working, complete))
        told = await ended(asking, sync_id)
        read_s = time.perf_counter() - began
    pages_s = complete.result() - began
    watching.cancel()
    stage.say(f"into the log {read_s:.1f} s: {rate(told, read_s)}, {told['tokens']:,} tokens")
    listed_s = (pages.listed_at or complete.result()) - began
    stage.say(f"all listed {listed_s:.1f} s: {chosen.contacts / listed_s:,.0f} contacts/s")
    stage.say(f"into pages {pages_s:.1f} s: {chosen.contacts / pages_s:,.0f} contacts/s")
    if not chosen.kills:
        stage.say(stage.shares(before, stage.cpu_seconds(running, stack)))
    stage.say(memory.table())
    stage.say(f"checksum of the final state: {await pages.sum()}")
    if chosen.live:
        stage.say(f"meanwhile, {working.told()[0]}")


async def work(run: latency.Run, complete: asyncio.Task[float]) -> None:
    """A change per second until all is in the pages, each one after the previous is shown."""
    while not complete.done():
        began = time.perf_counter()
        await run.probe(0, Probe.RENAMED)
        await asyncio.sleep(max(0.0, 1 - (time.perf_counter() - began)))


async def kill(running: Cluster, services: dict[str, Instance], pages: Pages, kills: int) -> None:
    """Kill and restart one service after the other, each time that another share is in the
    pages.
    """
    names = list(services)
    for number in range(kills):
        while pages.share < (number + 1) / (kills + 1):  # noqa: ASYNC110  others fill the pages
            await asyncio.sleep(0.5)
        name = names[number % len(names)]
        services[name].kill()
        roles = [PROJECTOR] if name.startswith(PROJECTOR) else []
        services[name] = running.start(services[name].service, *roles, port=services[name].port)
        stage.say(f"  killed {name} with {pages.share:.0%} in the pages")


async def ended(asking: Asking, sync_id: str) -> dict[str, Any]:
    """The sync's final state. The service may be down meanwhile."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            try:
                status, answer = await asking.call("GET", f"/api/sync/{sync_id}")
            except aiohttp.ClientError:
                status, answer = 0, {}
            if status == 200 and answer["data"]["finishedAt"] is not None:
                told: dict[str, Any] = answer["data"]
                if told["state"] != "done":
                    raise RuntimeError(f"the sync did not succeed: {told}")
                return told
            await asyncio.sleep(0.5)


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
        # Without a reported daily limit it would assume that of a small plan.
        unlimited = ("--burst", "0", "--daily-tokens", "100000000", "--generated", sizes)
        async with double(running.folder, COMPANY, *unlimited) as pipedrive:
            running.write_tenants([{**a_tenant(COMPANY), **pipedrive.tenant(), **stage.TENANT}])
            services = await running.start_all()
            for number in range(2, chosen.projectors + 1):
                services[f"{PROJECTOR}-{number}"] = running.start("query", PROJECTOR)
                await running.ready(services[f"{PROJECTOR}-{number}"])
            asking = Asking(running, services["ingest"])
            await asking.ready()
            await first(asking, running, stack, services, chosen)
            await second(asking, running)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=50_000)
    parser.add_argument("--organizations", type=int, default=5_000)
    parser.add_argument("--activities", type=int, default=100_000)
    parser.add_argument("--projectors", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--live", action="store_true")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
