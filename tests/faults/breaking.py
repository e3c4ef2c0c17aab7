"""Does to a running system what a plan says, and undoes it."""

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from tests.faults.plan import WORKERS, Fault, Kind, Plan
from tests.faults.world import World
from tests.support.proxy import Weather
from tests.support.waiting import until

SLOW_S = 0.05
STALL_S = 0.3
FLOW_S = 0.2
"""A slow disk: whoever writes to it stands still for so long, and then gets on for so long."""
STEPS_S = (90, -45)
"""How far a clock goes ahead first and back then."""
POISON = b'{"event_id": "poison", "company_id": "nobody", \xff\xfe'


@dataclass(frozen=True, slots=True)
class Span:
    """When a fault was there, by the clock of `time.monotonic`."""

    fault: Fault
    began: float
    ended: float


async def carry_out(plan: Plan, world: World) -> list[Span]:
    """Every fault of the plan, at its time; returns when the last of them is over. Where undoing
    one takes longer than planned, as the start of a server does, the next of its target waits.
    """
    spans: list[Span] = []
    start = time.monotonic()
    targets: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def one(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, start + fault.at_s - time.monotonic()))
        async with targets[fault.target]:
            began = time.monotonic()
            await _DO[fault.kind](fault, world)
            spans.append(Span(fault, began, time.monotonic()))

    async with asyncio.TaskGroup() as group:
        for fault in plan.faults:
            group.create_task(one(fault))
    return sorted(spans, key=lambda span: span.began)


async def _kill_service(fault: Fault, world: World) -> None:
    world.instances[fault.target].kill()
    await asyncio.sleep(fault.lasts_s)
    await world.start_again(fault.target)


async def _restart_service(fault: Fault, world: World) -> None:
    status = await world.instances[fault.target].stop()
    # One that has only just begun to start does not hear it yet, and ends as any process does.
    if status not in (0, -signal.SIGTERM):
        raise AssertionError(f"{fault.target} stopped with status {status}")
    await asyncio.sleep(fault.lasts_s)
    await world.start_again(fault.target)


async def _freeze_service(fault: Fault, world: World) -> None:
    process = world.instances[fault.target].process
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(fault.lasts_s)
    process.send_signal(signal.SIGCONT)


async def _kill_server(fault: Fault, world: World) -> None:
    await asyncio.to_thread(world.infra.kill, fault.target)
    await asyncio.sleep(fault.lasts_s)
    await asyncio.to_thread(world.infra.start, fault.target)


async def _freeze_server(fault: Fault, world: World) -> None:
    await asyncio.to_thread(world.infra.freeze, fault.target)
    await asyncio.sleep(fault.lasts_s)
    await asyncio.to_thread(world.infra.thaw, fault.target)


async def _slow_disk(fault: Fault, world: World) -> None:
    """What is seen of a server whose flushes hang: it stops, and goes on, again and again."""
    end = time.monotonic() + fault.lasts_s
    while time.monotonic() < end:
        await _freeze_server(replace(fault, lasts_s=STALL_S), world)
        await asyncio.sleep(FLOW_S)


async def _slow_spool(fault: Fault, world: World) -> None:
    """Commits to the spool wait: another holds its file."""
    await asyncio.to_thread(world.infra.freeze, "kafka")
    end = time.monotonic() + fault.lasts_s
    while time.monotonic() < end:
        with contextlib.ExitStack() as held:
            for file in world.spool_files():
                spool = held.enter_context(contextlib.closing(sqlite3.connect(file, timeout=0)))
                with contextlib.suppress(sqlite3.OperationalError):  # ingest holds it itself
                    spool.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(STALL_S)
        await asyncio.sleep(FLOW_S)
    await asyncio.to_thread(world.infra.thaw, "kafka")


async def _weather(fault: Fault, world: World, weather: Weather) -> None:
    link = world.links[fault.target]
    await link.turn(weather, delay_s=SLOW_S)
    await asyncio.sleep(fault.lasts_s)
    await link.turn(Weather.FAIR)


async def _storm(fault: Fault, world: World) -> None:
    """A third member comes and goes, at times before it is even ready."""
    end = time.monotonic() + fault.lasts_s
    while time.monotonic() < end:
        member = await world.start(fault.target)
        await asyncio.sleep(fault.lasts_s / 3)
        await member.stop()
    del world.instances[fault.target]


async def _long_outage(fault: Fault, world: World) -> None:
    """A server is away while every group loses its second member and gets it back."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_kill_server(fault, world))
        for name in WORKERS:
            if name.endswith("-2"):
                away = replace(fault, target=name, lasts_s=fault.lasts_s / 2)
                group.create_task(_freeze_service(away, world))


async def _poison(fault: Fault, world: World) -> None:
    topic = world.cluster.environment["KAFKA_TOPIC_PREFIX"] + fault.target
    await until(partial(_is_poisoned, world.infra.kafka, topic))


async def _is_poisoned(kafka: str, topic: str) -> bool:
    """Not while the broker is coming back from another fault."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    try:
        with contextlib.suppress(KafkaConnectionError):
            await producer.start()
            await producer.send_and_wait(topic, POISON, key=b"poison")
            return True
        return False
    finally:
        await producer.stop()


async def _clock(fault: Fault, world: World) -> None:
    for step in STEPS_S:
        world.set_clock(fault.target, step)
        await asyncio.sleep(fault.lasts_s / 2)
    world.set_clock(fault.target, 0)


_DO: Mapping[Kind, Callable[[Fault, World], Awaitable[None]]] = {
    Kind.KILL_SERVICE: _kill_service,
    Kind.RESTART_SERVICE: _restart_service,
    Kind.FREEZE_SERVICE: _freeze_service,
    Kind.KILL_SERVER: _kill_server,
    Kind.FREEZE_SERVER: _freeze_server,
    Kind.REFUSED: lambda fault, world: _weather(fault, world, Weather.REFUSED),
    Kind.HALF_OPEN: lambda fault, world: _weather(fault, world, Weather.HALF_OPEN),
    Kind.SLOW: lambda fault, world: _weather(fault, world, Weather.SLOW),
    Kind.SLOW_DISK: _slow_disk,
    Kind.SLOW_SPOOL: _slow_spool,
    Kind.FULL_SPOOL: _freeze_server,
    Kind.STORM: _storm,
    Kind.LONG_OUTAGE: _long_outage,
    Kind.POISON: _poison,
    Kind.CLOCK: _clock,
}
