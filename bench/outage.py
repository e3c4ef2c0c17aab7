"""Webhooks during a Kafka outage: how many are accepted, how fast, and whether all arrive later.

Starts its own servers and one ingest, sends at a fixed rate, kills Kafka in the middle for so many
seconds, restarts it, and counts by event id what is in the log. The sender is this process, on the
same machine: the times include its own.

Usage: python -m bench.outage [--seconds 60] [--rate 200] [--freeze]
"""

import argparse
import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import psutil
from aiokafka import AIOKafkaConsumer

from bench import ingest, stage
from bench.bodies import COMPANY
from devstack.stack import Stack
from tests.support.cluster import Cluster, Instance
from tests.support.waiting import until

BEFORE_S = 5.0
QUIET_S = 2.0
ARRIVE_S = 900.0


@dataclass
class Sent:
    """The outcome of the webhooks sent, and how long each took."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    taken: set[str] = field(default_factory=set)


async def send(session: aiohttp.ClientSession, url: str, number: int, sent: Sent) -> None:
    content = ingest.body(number).replace(b"%d" % ingest.COMPANY, b"%d" % COMPANY)
    began = time.perf_counter()
    try:
        async with session.post(url, data=content) as response:
            answer = await response.json()
            sent.statuses[response.status] += 1
            if response.status == 200:
                sent.taken.add(answer["data"]["eventId"])
    except aiohttp.ClientError:
        sent.statuses[0] += 1
    sent.seconds.append(time.perf_counter() - began)


async def keep_sending(instance: Instance, rate: int, stop: asyncio.Event) -> Sent:
    """At the rate, whether or not answers arrive."""
    sent = Sent()
    url = f"{instance.url}/webhooks/pipedrive"
    headers = {"Authorization": aiohttp.encode_basic_auth(*stage.HOOK)}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(headers=headers, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        began = time.perf_counter()
        number = 0
        while not stop.is_set():
            number += 1
            group.create_task(send(session, url, number, sent))
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
    return sent


async def waiting(running: Cluster, instance: Instance) -> float:
    async with running.http.get(f"{instance.url}/metrics") as response:
        for line in (await response.text()).splitlines():
            if line.startswith("my500_spool_events "):
                return float(line.split()[1])
    raise AssertionError("ingest says nothing of its spool")


async def in_the_log(stack: Stack, expected: set[str]) -> Counter[str]:
    consumer = AIOKafkaConsumer(
        "pipedrive.persons", bootstrap_servers=stack.urls.kafka, auto_offset_reset="earliest"
    )
    found: Counter[str] = Counter()
    await consumer.start()
    try:
        async with asyncio.timeout(ARRIVE_S):
            while expected - found.keys():
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found.update(_event_id(record.value or b"") for record in records)
    finally:
        await consumer.stop()
    return found


def _event_id(value: bytes) -> str:
    return value.partition(b'"event_id":"')[2].partition(b'"')[0].decode()


@dataclass(frozen=True, slots=True)
class Outage:
    """What ingest did meanwhile."""

    rss_before: int
    rss_after: int
    most_waiting: float
    drained_s: float


async def outage(
    running: Cluster, stack: Stack, instance: Instance, seconds: float, *, freeze: bool
) -> Outage:
    process = psutil.Process(instance.process.pid)
    rss_before = process.memory_info().rss
    kafka = stack.process("kafka")
    if freeze and kafka is not None:
        kafka.send_signal(signal.SIGSTOP)
    else:
        await asyncio.to_thread(stack.kill, "kafka")
    await asyncio.sleep(seconds)
    rss_after = process.memory_info().rss
    most_waiting = await waiting(running, instance)
    if freeze and kafka is not None:
        kafka.send_signal(signal.SIGCONT)
    else:
        await asyncio.to_thread(stack.start_one, "kafka")
    back = time.perf_counter()

    async def is_drained() -> bool:
        return await waiting(running, instance) == 0

    await until(is_drained, ARRIVE_S, every_s=0.1)
    return Outage(rss_before, rss_after, most_waiting, time.perf_counter() - back)


async def measure(seconds: float, rate: int, *, freeze: bool) -> None:
    async with stage.cluster() as (running, stack):
        instance = running.start("ingest")
        await running.ready(instance)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(keep_sending(instance, rate, stop))
            await asyncio.sleep(BEFORE_S)
            seen = await outage(running, stack, instance, seconds, freeze=freeze)
            await asyncio.sleep(QUIET_S)
            stop.set()
        sent = sending.result()
        found = await in_the_log(stack, sent.taken)
    tell(seconds, rate, sent, seen, found, how="frozen" if freeze else "killed")


def tell(
    seconds: float, rate: int, sent: Sent, seen: Outage, found: Counter[str], *, how: str
) -> None:
    total = sum(sent.statuses.values())
    stage.say(f"Kafka {how} for {seconds:.0f} s, {rate} events/s, {total} sent")
    stage.say(f"  taken       {100 * sent.statuses[200] / total:.3f} %  {dict(sent.statuses)}")
    for share in (0.5, 0.99, 0.999, 1.0):
        stage.say(f"  p{100 * share:<8g}  {1000 * stage.percentile(sent.seconds, share):.1f} ms")
    before, after = seen.rss_before / 2**20, seen.rss_after / 2**20
    stage.say(f"  memory      {before:.1f} MiB before, {after:.1f} at the end")
    stage.say(f"  drained     {seen.most_waiting:.0f} waiting, drained in {seen.drained_s:.1f} s")
    twice = sum(count - 1 for count in found.values())
    arrived = len(sent.taken & found.keys())
    stage.say(f"  in the log  {arrived} of {len(sent.taken)}, {twice} twice")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--freeze", action="store_true", help="stop Kafka instead of killing it")
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.seconds, chosen.rate, freeze=chosen.freeze))


if __name__ == "__main__":
    main()
