"""From webhook to open stream: how long until a change is sent, and what open streams cost.

`python -m bench.stream [--rate 200] [--warm 30] [--seconds 40] [--streams 2000]`
Opens streams of as many users in one query process: 50 who own the contacts of the load, 200 who
own one probe each, the rest without changes. Webhooks are sent at a steady rate, open loop; every
tenth renames a probe's contact, and the time until the name arrives on its owner's stream is
measured. Prints p50, p95, p99: for the warm-up, with a fresh broker and fresh plans, and for the
time after it; then the memory of the query process before and after the streams were opened, and
the CPU time by process.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime
from typing import cast

import psutil

from bench import bodies, stage
from bench.latency import CONTACTS, FIRST_PROBE, Run, organization_of, prepare
from tests.support.cluster import Instance, token
from tests.support.waiting import until

PROBE_EVERY = 10
PROBES = 200
OWNERS = range(100, 150)
FIRST_IDLE = 2_000_000
OPENING = 64
REQUEST = "GET /api/my-500/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"


class Reader(asyncio.Protocol):
    """An open stream that waits for one text at a time, and counts what it receives."""

    def __init__(self, user: int) -> None:
        self._user = user
        self._wanted = b""
        self._before = b""
        self._found: asyncio.Future[float] | None = None
        self.opened = asyncio.get_running_loop().create_future()
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        request = REQUEST.format(token=token(bodies.COMPANY, str(self._user)))
        cast("asyncio.WriteTransport", transport).write(request.encode())

    def data_received(self, data: bytes) -> None:
        if b"event: reset" in data and not self.opened.done():
            self.opened.set_result(None)
        self.events += data.count(b"event: ")
        found = self._found
        if found is not None and not found.done() and self._wanted in self._before + data:
            found.set_result(time.perf_counter())
        self._before = data[-200:]

    async def until_told(self, text: bytes) -> float:
        """Returns when it arrived."""
        self._wanted = text
        self._found = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(20):
            return await self._found


async def opened(user: int, query: Instance) -> Reader:
    reader = Reader(user)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: reader, "127.0.0.1", query.port)
    await reader.opened
    return reader


async def open_streams(query: Instance, count: int) -> dict[int, Reader]:
    busy = [*OWNERS, *range(FIRST_PROBE, FIRST_PROBE + PROBES)]
    users = iter([*busy, *range(FIRST_IDLE, FIRST_IDLE + max(0, count - len(busy)))])
    readers: dict[int, Reader] = {}

    async def opener() -> None:
        for user in users:
            readers[user] = await opened(user, query)

    async with asyncio.TaskGroup() as group:
        for _ in range(OPENING):
            group.create_task(opener())
    return readers


async def probe(run: Run, readers: dict[int, Reader], number: int, took: list[float]) -> None:
    owner = FIRST_PROBE + number
    at = datetime.now(UTC)
    name = f"Renamed at {at.isoformat()}"
    told = asyncio.create_task(readers[owner].until_told(name.encode()))
    began = time.perf_counter()
    await run.send(bodies.person(owner, owner=owner, org=organization_of(owner), at=at, name=name))
    took.append(await told - began)


async def load(
    run: Run, readers: dict[int, Reader], rate: int, seconds: int, *, first: int = 0
) -> list[float]:
    """`first` is the number of the first webhook; returns how long each probe took, in seconds."""
    took: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for sent in range(first, first + rate * seconds):
            delay = began + (sent - first) / rate - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            if sent % PROBE_EVERY == 0:
                number = (sent // PROBE_EVERY) % PROBES
                group.create_task(probe(run, readers, number, took))
            else:
                at = datetime.now(UTC)
                body = bodies.activity(sent + 1, person_id=1 + sent % CONTACTS, at=at)
                group.create_task(run.send(body))
    return took


async def is_quiet(readers: dict[int, Reader]) -> bool:
    """Whether everything from the preparation has arrived."""
    before = sum(reader.events for reader in readers.values())
    await asyncio.sleep(2)
    return before == sum(reader.events for reader in readers.values())


def line(told: list[float]) -> str:
    figures = [
        f"{label} {stage.percentile(told, share) * 1000:.0f} ms"
        for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
    return f"{len(told)} probes, {', '.join(figures)}"


async def measure(rate: int, warm: int, seconds: int, streams: int) -> None:
    async with stage.cluster() as (running, stack):
        services = await running.start_all()
        query = services["query"]
        run = Run(running, services["ingest"], query)
        await prepare(run, PROBES)
        process = psutil.Process(query.process.pid)
        alone = process.memory_info().rss
        began = time.perf_counter()
        readers = await open_streams(query, streams)
        took = time.perf_counter() - began
        together = process.memory_info().rss
        stage.say(
            f"{len(readers)} streams opened in {took:.1f} s; query {alone / 2**20:.0f} MiB, then "
            f"{together / 2**20:.0f} MiB: {(together - alone) / len(readers) / 1024:.1f} KiB each"
        )
        await until(lambda: is_quiet(readers), 60)
        told = await load(run, readers, rate, warm)
        if told:
            stage.say(f"first {warm} s: {line(told)}")
        before = stage.cpu_seconds(running, stack)
        events = sum(reader.events for reader in readers.values())
        told = await load(run, readers, rate, seconds, first=rate * warm)
        after = stage.cpu_seconds(running, stack)
        events = sum(reader.events for reader in readers.values()) - events
        stage.say(f"{line(told)}; {events / seconds:.0f} events/s told")
        stage.say(f"query after the load: {process.memory_info().rss / 2**20:.0f} MiB")
        stage.say(stage.shares(before, after))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--warm", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--streams", type=int, default=2_000)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.rate, chosen.warm, chosen.seconds, chosen.streams))


if __name__ == "__main__":
    main()
