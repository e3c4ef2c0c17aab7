"""From webhook to page: how long until its owner reads the change.

`python -m bench.latency [--rate 200] [--warm 30] [--seconds 40]`
Webhooks are sent at a steady rate, open loop. Every twentieth is a probe: it renames a person,
completes the first activity of a contact, which changes its score, or moves the person to another
organization; its owner has only that contact, and the page is requested until it shows the change.
Prints p50, p95, p99 in milliseconds for each kind: for the warm-up, with a fresh broker and fresh
plans, and for the time after it.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import aiohttp
import orjson

from bench import bodies, stage
from tests.support.cluster import Cluster, Instance, token
from tests.support.waiting import until

PROBE_EVERY = 20
POLL_S = 0.008
LONGEST_S = 600.0
"""Other work of a service may have to be waited for."""
CONTACTS = 2_000
ORGANIZATIONS = 400
FIRST_PROBE = 1_000_000


def organization_of(person: int) -> int:
    return 1 + person % ORGANIZATIONS


class Probe(StrEnum):
    """Each takes another path: directly to query, through scoring, through orgs."""

    RENAMED = "renamed person"
    RESCORED = "rescored"
    MOVED = "moved to another organization"


PROBES = tuple(Probe)


class Run:
    def __init__(self, running: Cluster, ingest: Instance, query: Instance) -> None:
        self._http = running.http
        self._ingest = f"{ingest.url}/webhooks/pipedrive"
        self._query = f"{query.url}/api/my-500"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(*stage.HOOK)}
        self._owners: dict[int, dict[str, str]] = {}
        self.seen: dict[Probe, list[float]] = {probe: [] for probe in PROBES}

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

    async def probe(self, number: int, probe: Probe) -> None:
        owner = FIRST_PROBE + number
        at = datetime.now(UTC)
        organization = organization_of(owner) + (probe is Probe.MOVED)
        name = f"Renamed at {at.isoformat()}"
        if probe is Probe.RESCORED:
            activity = FIRST_PROBE + int(time.time() * 1000)
            body = bodies.activity(activity, person_id=owner, at=at)
        else:
            body = bodies.person(owner, owner=owner, org=organization, at=at, name=name)
        began = time.perf_counter()
        await self.send(body)
        async with asyncio.timeout(LONGEST_S):
            while True:
                shown = await self.contact(owner)
                if shown and _shows(shown, probe, name, organization):
                    break
                await asyncio.sleep(POLL_S)
        self.seen[probe].append(time.perf_counter() - began)

    def told(self) -> list[str]:
        """A line for each kind measured since the last call."""
        lines = []
        for probe, values in self.seen.items():
            if not values:
                continue
            figures = [
                f"{label} {stage.percentile(values, share) * 1000:.0f} ms"
                for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            ]
            lines.append(f"{probe}: {len(values)} probes, {', '.join(figures)}")
            values.clear()
        return lines


def _shows(contact: dict[str, Any], probe: Probe, name: str, organization: int) -> bool:
    if probe is Probe.RENAMED:
        return bool(contact["name"] == name)
    if probe is Probe.RESCORED:
        return contact["lastContacted"] is not None
    shown = contact["organization"]
    return shown is not None and shown["pipedriveOrgId"] == str(organization)


async def prepare(run: Run, probes: int) -> None:
    """The contacts of the load, and one for each probe."""
    at = datetime.now(UTC)
    last = FIRST_PROBE + probes
    numbers = [*range(1, CONTACTS + 1), *range(FIRST_PROBE, last + 1)]
    for number in range(1, ORGANIZATIONS + 2):
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
        shown = [await run.contact(number) for number in (FIRST_PROBE, last)]
        return all(contact and contact["organization"] for contact in shown)

    await until(is_shown)


async def load(run: Run, rate: int, seconds: int, *, first: int = 0) -> None:
    """`first` is the number of the first webhook; returns when all probes are shown."""
    began = time.perf_counter()
    probes = first // PROBE_EVERY
    async with asyncio.TaskGroup() as group:
        for sent in range(first, first + rate * seconds):
            delay = began + (sent - first) / rate - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            if sent % PROBE_EVERY == 0:
                group.create_task(run.probe(probes, PROBES[probes % len(PROBES)]))
                probes += 1
            else:
                number = 1 + sent % CONTACTS
                body = bodies.activity(sent + 1, person_id=number, at=datetime.now(UTC))
                group.create_task(run.send(body))


async def measure(rate: int, warm: int, seconds: int) -> None:
    async with stage.cluster() as (running, stack):
        services = await running.start_all()
        run = Run(running, services["ingest"], services["query"])
        await prepare(run, rate * (warm + seconds) // PROBE_EVERY)
        await load(run, rate, warm)
        for line in run.told():
            stage.say(f"first {warm} s, {line}")
        before = stage.cpu_seconds(running, stack)
        await load(run, rate, seconds, first=rate * warm)
        for line in run.told():
            stage.say(line)
        stage.say(stage.shares(before, stage.cpu_seconds(running, stack)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--warm", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=40)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.rate, chosen.warm, chosen.seconds))


if __name__ == "__main__":
    main()
