"""From webhook to page: how long until its owner reads the change.

`python -m bench.latency [--rate 200] [--seconds 20]`
Webhooks are sent at a steady rate, open loop. Every tenth is a probe: it renames a person, or
holds an activity that changes the contact's score, whose owner has that one contact; the page is
asked for until it shows the change. Prints p50, p95, p99 in milliseconds for both kinds.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from bench import bodies, stage
from tests.support.cluster import Cluster, Instance, token
from tests.support.waiting import until

PROBE_EVERY = 20
POLL_S = 0.008
PROBES = 200
CONTACTS = 2_000
ORGANIZATIONS = 400
FIRST_PROBE = 1_000_000


def organization_of(person: int) -> int:
    return 1 + person % ORGANIZATIONS


class Run:
    def __init__(self, running: Cluster, ingest: Instance, query: Instance) -> None:
        self._http = running.http
        self._ingest = f"{ingest.url}/webhooks/pipedrive"
        self._query = f"{query.url}/api/my-500"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(*stage.HOOK)}
        self._owners: dict[int, dict[str, str]] = {}
        self.renamed: list[float] = []
        self.rescored: list[float] = []

    async def send(self, body: dict[str, Any]) -> None:
        content = orjson.dumps(body)
        async with self._http.post(self._ingest, data=content, headers=self._headers) as response:
            response.raise_for_status()

    async def contact(self, owner: int) -> dict[str, Any] | None:
        headers = self._owners.get(owner)
        if headers is None:  # each keeps its token, as a browser does
            said = f"Bearer {token(bodies.COMPANY, str(owner))}"
            headers = self._owners[owner] = {"Authorization": said}
        async with self._http.get(self._query, headers=headers) as response:
            contacts: list[dict[str, Any]] = (await response.json())["data"]["contacts"]
            return contacts[0] if contacts else None

    async def probe(self, number: int, *, rename: bool) -> None:
        owner = FIRST_PROBE + number
        at = datetime.now(UTC)
        began = time.perf_counter()
        if rename:
            name = f"Renamed at {at.isoformat()}"
            await self.send(
                bodies.person(owner, owner=owner, org=organization_of(owner), at=at, name=name)
            )
        else:
            activity = FIRST_PROBE + int(time.time() * 1000)
            await self.send(bodies.activity(activity, person_id=owner, at=at))
        async with asyncio.timeout(20):
            while True:
                shown = await self.contact(owner)
                if shown and (shown["name"] == name if rename else shown["lastContacted"]):
                    break
                await asyncio.sleep(POLL_S)
        (self.renamed if rename else self.rescored).append(time.perf_counter() - began)


async def prepare(run: Run) -> None:
    """The contacts of the load, and the probes' own."""
    at = datetime.now(UTC)
    numbers = [*range(1, CONTACTS + 1), *range(FIRST_PROBE, FIRST_PROBE + PROBES)]
    for number in range(1, ORGANIZATIONS + 1):
        await run.send(bodies.organization(number, at=at))
    waiting = iter(numbers)

    async def sender() -> None:
        for number in waiting:
            owner = number if number >= FIRST_PROBE else 100 + number % 50
            await run.send(bodies.person(number, owner=owner, org=organization_of(number), at=at))

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(sender())

    async def is_shown() -> bool:
        shown = [await run.contact(FIRST_PROBE + n) for n in (0, PROBES - 1)]
        return all(contact and contact["organization"] for contact in shown)

    await until(is_shown)


async def load(run: Run, rate: int, seconds: int) -> None:
    began = time.perf_counter()
    probes = 0
    async with asyncio.TaskGroup() as group:
        for sent in range(rate * seconds):
            delay = began + sent / rate - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            if sent % PROBE_EVERY == 0:
                # First half of the probes renames; the other half, each once, rescores.
                rename = probes % 2 == 0
                group.create_task(run.probe((probes // 2) % PROBES, rename=rename))
                probes += 1
            else:
                number = 1 + sent % CONTACTS
                body = bodies.activity(sent + 1, person_id=number, at=datetime.now(UTC))
                group.create_task(run.send(body))


async def measure(rate: int, seconds: int) -> None:
    async with stage.cluster() as (running, stack):
        services = await running.start_all()
        run = Run(running, services["ingest"], services["query"])
        await prepare(run)
        before = stage.cpu_seconds(running, stack)
        await load(run, rate, seconds)
        for name, values in (("renamed person", run.renamed), ("rescored", run.rescored)):
            figures = [
                f"{label} {stage.percentile(values, share) * 1000:.0f} ms"
                for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            ]
            stage.say(f"{name}: {len(values)} probes, {', '.join(figures)}")
        stage.say(stage.shares(before, stage.cpu_seconds(running, stack)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=20)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.rate, chosen.seconds))


if __name__ == "__main__":
    main()
