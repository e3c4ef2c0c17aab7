"""One scenario, from its seed to what came of it."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import breaking, ledger, plan, watching
from tests.faults.breaking import Span
from tests.faults.plan import Kind, Plan
from tests.faults.sending import Sender, disordered
from tests.faults.watching import Look, Watch
from tests.faults.world import FAKETIME, World, running
from tests.support.infra import Infra
from tests.support.pipe import COMPANY, life, settled, truth
from tests.support.waiting import until

EVENTS = 600
SETTLE_S = 30.0
"""The promise: within this time of the end of an outage everything is caught up."""
AFTERMATH_S = 2.0
"""How long after Redis is back it may take the projector to hear of it and empty the cache."""
ROOMY, TIGHT = 1024**3, 16 * 1024
"""What the spool may hold, and what it may where it is to be full: some thirty events."""
DEAR = frozenset({Kind.CLOCK, Kind.LONG_OUTAGE})
"""Those that need more than what the tests install, or much time: they are drawn if asked for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    plan: Plan
    events: int
    outcomes: Mapping[str, int]
    statuses: Mapping[str, int]
    lost: Sequence[str]
    doubled: Sequence[str]
    stale: Sequence[Look]
    looks: int
    settled_s: float
    recoveries: Sequence[tuple[Kind, float]]
    """Of each fault that was over before another began: until both readers saw a later change."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale)


def drawn(seed: int, dear: Collection[Kind] = ()) -> Plan:
    """Raises:
    ValueError: clocks are to be stepped, and nothing here can.
    """
    if Kind.CLOCK in dear and not FAKETIME:
        raise ValueError("libfaketime is not installed")
    return plan.plan(seed, kinds=[kind for kind in Kind if kind not in DEAR or kind in dear])


async def run(
    chosen: Plan, infra: Infra, database_url: str, redis_url: str, prefix: str, folder: Path
) -> Outcome:
    """Raises:
    AssertionError: the pages are not what they must be, half a minute after the last fault, or
        a reader of the one that changes all the time saw nothing newer by then; or a process
        ended by itself; or a spool that was to be full never was.
    """
    history = life(chosen.seed, EVENTS)
    sent = disordered(history, seed=chosen.seed, shuffled=chosen.shuffled)
    is_tight = Kind.FULL_SPOOL in chosen.kinds
    urls, room = (database_url, redis_url), TIGHT if is_tight else ROOMY
    async with running(infra, urls, prefix, folder, spool_bytes=room) as world:
        sender = Sender(world)
        watch = Watch(world, sender)
        spans, ended = await _storm_through(chosen, world, sender, watch, sent)
        world.check()  # before who has fallen is asked for a page
        if is_tight and not sender.statuses["503"]:
            raise AssertionError("the spool was never full")
        pages = truth(COMPANY, [*history, *watch.bodies])
        for reader in watching.READERS:
            left = max(1.0, ended + SETTLE_S - time.monotonic())
            await settled(world.cluster, world.instances[reader], COMPANY, pages, left)
        if watch.recovered_s(ended) is None:
            raise AssertionError("a reader never saw what was stored after the last fault")
        settled_s = time.monotonic() - ended
        world.check()
        entries, letters = await ledger.log(infra.kafka, prefix)
        rows = await ledger.rows(database_url)
        accounts = ledger.account(sender.acked, entries, letters, rows)
        return Outcome(
            chosen,
            len(sender.acked),
            accounts.outcomes,
            dict(sender.statuses),
            accounts.lost,
            await ledger.doubled(database_url),
            watching.older(watch.looks, _excused(spans)),
            len(watch.looks),
            settled_s,
            _recoveries(spans, watch),
        )


async def _storm_through(
    chosen: Plan,
    world: World,
    sender: Sender,
    watch: Watch,
    sent: Sequence[dict[str, object]],
) -> tuple[list[Span], float]:
    """The faults, while events come all the time; and when the last of either was over."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(watch.run(stop))
        sending = group.create_task(sender.send_all(sent, len(sent) / chosen.lasts_s))
        spans = await breaking.carry_out(chosen, world)
        await sending
        over = time.monotonic()
        with contextlib.suppress(TimeoutError):  # `settled` says then what is wrong
            await until(lambda: _has_recovered(watch, over), SETTLE_S)
        stop.set()
    return spans, over


async def _has_recovered(watch: Watch, over: float) -> bool:
    return watch.recovered_s(over) is not None


def _excused(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """When an older page may be met: while Redis is out of the projector's reach."""
    return [(s.began, s.ended + AFTERMATH_S) for s in spans if s.fault.target == "valkey"]


def _recoveries(spans: Sequence[Span], watch: Watch) -> list[tuple[Kind, float]]:
    found = []
    for number, span in enumerate(spans):
        others = [one for place, one in enumerate(spans) if place != number]
        took = watch.recovered_s(span.ended)
        if took is None:
            continue
        over = span.ended + took
        if not any(one.began < over and one.ended > span.ended for one in others):
            found.append((span.fault.kind, took))
    return found
