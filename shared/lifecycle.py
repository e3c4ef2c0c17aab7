"""Runs a service's loops until SIGTERM or SIGINT.

Rule 1: a loop takes a stop event and returns soon after it is set, its work finished.
Rule 2: a loop that raises ends its siblings: the process dies loudly and is restarted.
Rule 3: a graceful stop has a deadline; then the loops are cancelled and, a second later and again,
        so is whatever they still wait for, such as a silent server.
Rule 4: a loop has a heart, and every wait in this module beats: see `shared/heart.py`.
"""

import asyncio
import gc
import logging
import math
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import uvloop

from shared import heart
from shared.errors import Misconfigured, Unavailable
from shared.observability import OUTAGE_WAITS, configure_logs

log = logging.getLogger(__name__)

Loop = Callable[[asyncio.Event], Awaitable[None]]
Works = Callable[[], None]
Session = Callable[[Works], Awaitable[None]]
T = TypeVar("T")

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
CUT_S = 1.0
LOOK_S = 5.0
"""Longest interval between the watchdog's checks."""
MISCONFIGURED = 78
"""The exit code of a process whose settings cannot work: EX_CONFIG of sysexits.h."""
STUCK = 70
"""The exit code of a process that ended because it was stuck: EX_SOFTWARE of sysexits.h."""


BATCHES: Final = (50_000, 10, 10)
"""The collector's thresholds per generation, in allocations. A batch of 500 records makes tens of
thousands of objects that reference counting frees; at the default of 700 the collector would walk
them dozens of times."""
REQUESTS: Final = (20_000, 20, 50)
"""For a process that only takes requests: they leave hardly any cycles behind, so the oldest
generation, whose scan takes longer than a hundred requests, is checked less often."""


def spare_the_collector(thresholds: tuple[int, int, int] = BATCHES) -> None:
    """For a service that answers requests and is fully set up: existing objects are frozen, and
    not walked for each of them. Ingest, which has no batches, uses `REQUESTS`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)


def start(main: Coroutine[Any, Any, int | None]) -> None:
    """Run a program's main on uvloop; its return value is the exit code.

    Raises:
        SystemExit: with that code, or with `MISCONFIGURED`.
    """
    gc.freeze()  # what is imported stays; collecting it first would take as long again
    gc.set_threshold(*BATCHES)
    gc.enable()
    _let_all_in()
    wrong, code = "", None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(main)
    except* Misconfigured as errors:
        wrong = _sentence(errors)
    if wrong:
        if not logging.getLogger().handlers:  # the settings that configure them were not readable
            configure_logs("INFO")
        log.critical("misconfigured", extra={"reason": wrong})
        sys.exit(MISCONFIGURED)
    sys.exit(code)


def _let_all_in() -> None:
    """Shells limit a process to 1,024 open files by default, and each connection is one. Beyond
    that connections are dropped, probes included, without any message.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _sentence(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(map(_sentence, error.exceptions)))
    return str(error)


@contextmanager
def on_signal(call: Callable[[], object]) -> Iterator[None]:
    """Call on SIGTERM or SIGINT, even if the parent process had them ignored."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    with on_signal(stop.set):
        yield stop


async def run(*loops: Loop, stop: asyncio.Event, grace_s: float, stuck_s: float = 0.0) -> None:
    """Run the loops together; return when all have ended. If one of them is stuck for `stuck_s`,
    the process exits immediately; 0: never.
    """

    async def until_stopped(loop: Loop) -> None:
        try:
            await attended(loop, stop)
        finally:
            stop.set()

    async def enforce_deadline(tasks: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            log.error("stop_deadline_passed", extra={"loop": task.get_name()})
            task.cancel()
        while late:
            _, late = await asyncio.wait(late, timeout=CUT_S)
            if late:
                for each in list(_attended):  # a group cancels its tasks only once
                    each.cancel()

    heart.beat(math.inf)
    with _watched(stuck_s):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(until_stopped(each), name=name_of(each)) for each in loops]
            group.create_task(enforce_deadline(tasks))


@contextmanager
def _watched(stuck_s: float) -> Iterator[None]:
    """By a thread: the event loop itself may hang, and then no probe is answered either. The
    supervisor restarts the process.
    """
    over = threading.Event()

    def watch() -> None:
        since = math.inf
        while not over.wait(min(stuck_s / 4, LOOK_S)):
            names, now = heart.stuck(), time.monotonic()
            since = min(since, now) if names else math.inf
            if now - since >= stuck_s:
                log.critical("stuck", extra={"loops": names})
                os._exit(STUCK)

    if stuck_s:
        threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def is_cancelled() -> bool:
    """Whether the running task itself was asked to end, as opposed to what it waits for having
    been cancelled.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_attended: Final[set[asyncio.Task[Any]]] = set()


async def attended(loop: Loop, stop: asyncio.Event) -> None:
    """Run the loop, with a heart of its own.

    Raises:
        RuntimeError: what it waited for was cancelled. Else the loop would end as if it were
        stopped.
    """
    with heart.beating(name_of(loop)), _counted():
        try:
            await loop(stop)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise RuntimeError(f"{name_of(loop)}: cancelled from inside") from error


@contextmanager
def _counted() -> Iterator[None]:
    """Register the task as one that a stop may have to cancel more than once."""
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a loop runs in a task")
    _attended.add(task)
    try:
        yield
    finally:
        _attended.discard(task)


async def together(loops: Iterable[Loop], stop: asyncio.Event) -> None:
    """Sub-loops, each with a heart of its own; returns when all have ended."""
    heart.beat(math.inf)
    async with asyncio.TaskGroup() as group:
        for each in loops:
            group.create_task(attended(each, stop))


def name_of(loop: Loop) -> str:
    return getattr(loop, "__qualname__", repr(loop))


async def wait_or_stop(seconds: float, stop: asyncio.Event) -> bool:
    """Sleep, unless stopped first. True if stopped."""
    heart.beat(seconds)
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    finally:
        heart.beat()
    return True


async def idle(stop: asyncio.Event) -> None:
    """For a loop that has nothing left to do."""
    heart.beat(math.inf)
    await stop.wait()
    heart.beat()


async def first_of(seconds: float | None, *events: asyncio.Event) -> None:
    """Wait until one of the events is set, or the time, if given, is over."""
    heart.beat(math.inf if seconds is None else seconds)
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
        heart.beat()


async def unless_stopped(call: Awaitable[T], stop: asyncio.Event) -> T | None:
    """Its result; null if stopped first. Then it is cancelled: only for what may be left undone,
    and would otherwise wait for a silent server. What must be closed after it is the caller's.
    """
    stopped, limit = asyncio.ensure_future(stop.wait()), asyncio.timeout(None)

    def end(_: object) -> None:
        with suppress(RuntimeError):  # the call has ended in the same turn
            limit.reschedule(0.0)

    try:
        async with limit:
            stopped.add_done_callback(end)
            try:
                return await call
            finally:
                stopped.remove_done_callback(end)
    except TimeoutError:
        if not limit.expired():
            raise
        return None
    finally:
        stopped.cancel()


def waits() -> Iterator[float]:
    """Seconds to wait before each retry: doubling, capped, with jitter."""
    wait = FIRST_WAIT_S
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311  jitter
        wait = min(wait * 2, LONGEST_WAIT_S)


_reasons: Final[dict[str, str]] = {}


def reasons() -> str:
    """Which loops wait out an outage, and why."""
    return "; ".join(f"{loop}: {reason}" for loop, reason in _reasons.items())


def reason_of(loop: str) -> str | None:
    """Why it waits; null if it does not."""
    return _reasons.get(loop)


class Outage:
    """One loop's: how long it waits before it retries. Logs the start and the end once."""

    def __init__(self, loop: str) -> None:
        self._loop = loop
        self._waits = waits()
        self.reason: str | None = None
        """None while there is none."""

    def goes_on(self, reason: Exception) -> float:
        """Seconds until the next try."""
        OUTAGE_WAITS.labels(self._loop).inc()
        if self.reason is None:
            log.warning("outage_began", extra={"loop": self._loop, "reason": str(reason)})
        self.reason = _reasons[self._loop] = str(reason)
        return next(self._waits)

    def is_over(self) -> None:
        """The next one starts with a short wait again."""
        _reasons.pop(self._loop, None)
        if self.reason is not None:
            log.warning("outage_ended", extra={"loop": self._loop})
        self._waits = waits()
        self.reason = None


async def persist(call: Callable[[], Awaitable[T]], stop: asyncio.Event, *, what: str) -> T | None:
    """Call until it is no longer `Unavailable`; null if stopped first."""
    outage = Outage(what)
    while True:
        heart.beat()
        try:
            result = await call()
        except Unavailable as reason:
            if await wait_or_stop(outage.goes_on(reason), stop):
                return None
        else:
            outage.is_over()
            return result


async def sessions(session: Session, stop: asyncio.Event, *, what: str) -> None:
    """One session after the other until stopped: each lasts until it is `Unavailable`. It gets a
    callback for whenever it has done something that proves the outage over.
    """
    outage = Outage(what)
    while not stop.is_set():
        heart.beat()
        try:
            await session(outage.is_over)
        except Unavailable as reason:
            await wait_or_stop(outage.goes_on(reason), stop)
