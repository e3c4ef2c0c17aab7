"""Push a company's history, then its live changes, and report the progress.

Rule 1: the history is an initial load: every event is sent until it is accepted.
Rule 2: live changes follow Pipedrive's rules of delivery, which may lose some.
Rule 3: a receiver that is not up yet is waited for, and the reason is reported once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Protocol

from devstack.pipedrive import progress
from devstack.pipedrive.bodies import Body, Hook, retried, v2
from devstack.pipedrive.bodies_v1 import says_v1, v1
from devstack.pipedrive.changes import Change
from devstack.pipedrive.company import Company
from devstack.pipedrive.delivery import Answer, Outcome, Sender

LAST_ATTEMPT = 4
LONGEST_WAIT_S = 10.0
SAVE_EVERY_S = 1.0
RECALL_CHUNK = 1000

Say = Callable[[str], None]


class Audience(Protocol):
    """Others that get the changes: the REST API, and the webhooks registered there."""

    def witness(self, change: Change) -> None: ...
    async def told(self, change: Change) -> None: ...


class Nobody:
    def witness(self, _: Change) -> None: ...
    async def told(self, _: Change) -> None: ...


class Unreachable(Exception):
    """The receiver accepted nothing for as long as we were told to wait."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate` is live events a second, 0 for none."""

    hook: Hook
    v1_share: float = 0.0
    rate: float = 2.0
    state: Path | None = None
    patience_s: float = 300.0
    say_every_s: float = 5.0


class Pusher:
    def __init__(
        self,
        plan: Plan,
        company: Company,
        done: progress.Progress,
        sender: Sender,
        say: Say,
        audience: Audience | None = None,
    ) -> None:
        self._audience = audience or Nobody()
        self._plan = plan
        self._company = company
        self._done = done
        self._sender = sender
        self._say = say
        self._problem = ""
        self._accepted_at = monotonic()
        self._said_at = self._saved_at = self._accepted_at
        self._said_count = 0

    async def run(self) -> None:
        try:
            await self._history()
            self._report_history()
            if self._plan.rate:
                await self._live()
        finally:
            progress.save(self._plan.state, self._done)

    def body(self, change: Change) -> Body:
        hook = self._plan.hook
        return v1(change, hook) if says_v1(change, hook, self._plan.v1_share) else v2(change, hook)

    async def _history(self) -> None:
        room = asyncio.Semaphore(self._sender.rules.concurrency)
        async with asyncio.TaskGroup() as tasks:
            for change in self._company.history():
                self._audience.witness(change)
                if await self._is_settled(change):
                    continue
                await room.acquire()
                self._begin(change)
                tasks.create_task(self._insist(change, room))

    async def _insist(self, change: Change, room: asyncio.Semaphore) -> None:
        try:
            await self._deliver_surely(self.body(change))
        finally:
            room.release()
        self._done.settle(change.number)
        self._maybe_report(self._report_history)

    async def _deliver_surely(self, body: Body) -> None:
        attempt = 1
        while True:
            answer = await self._sender.post(retried(body, min(attempt, LAST_ATTEMPT)))
            self._note(answer)
            if answer.is_ok:
                self._sender.counters.ok += 1
                return
            wait = min(LONGEST_WAIT_S, 0.5 * 2 ** min(attempt - 1, 10))
            await asyncio.sleep(wait * self._sender.rules.time_scale)
            attempt += 1

    def _note(self, answer: Answer) -> None:
        if answer.is_ok:
            if self._problem:
                self._say("accepted again")
            self._problem, self._accepted_at = "", monotonic()
            return
        if answer.problem != self._problem:
            self._problem = answer.problem
            self._say(f"{answer.problem}; trying again")
        if monotonic() - self._accepted_at > self._plan.patience_s:
            raise Unreachable(f"{answer.problem}; gave up after {self._plan.patience_s:g} s")

    async def _live(self) -> None:
        done = self._done
        done.start_live(datetime.now(UTC), self._plan.rate)
        progress.save(self._plan.state, done)
        is_reached = False
        for change in self._company.live(done.clock):
            if await self._is_settled(change):
                self._audience.witness(change)
                continue
            await asyncio.sleep((change.at - datetime.now(UTC)).total_seconds())
            self._begin(change)
            self._audience.witness(change)
            await self._audience.told(change)
            if is_reached:
                await self._push(change)
            else:
                # A receiver that is still starting must not ban the webhook.
                await self._deliver_surely(self.body(change))
                done.settle(change.number)
                is_reached = True
            self._maybe_report(self._report_live)

    async def _push(self, change: Change) -> None:
        def settle(outcome: Outcome) -> None:
            self._done.settle(change.number)
            if outcome is not Outcome.OK:
                self._say(f"event {change.number} is {outcome}, as Pipedrive would do it")

        await self._sender.push(self.body(change), settle)

    async def _is_settled(self, change: Change) -> bool:
        """Changes of an earlier run are lived through again, not sent."""
        if change.number % RECALL_CHUNK == 0:
            await asyncio.sleep(0)
        return change.number <= self._done.settled

    def _begin(self, change: Change) -> None:
        self._done.begin(change.number)
        if monotonic() - self._saved_at > SAVE_EVERY_S:
            self._saved_at = monotonic()
            progress.save(self._plan.state, self._done)

    def _maybe_report(self, report: Callable[[], None]) -> None:
        if monotonic() - self._said_at >= self._plan.say_every_s:
            report()

    def _report_history(self) -> None:
        elapsed = monotonic() - self._said_at
        rate = (self._sender.counters.ok - self._said_count) / elapsed if elapsed else 0.0
        share = self._company.progress
        self._say(f"history {share:.0%}, {self._done.settled:,} events, {rate:,.0f} events/s")
        self._said_at, self._said_count = monotonic(), self._sender.counters.ok

    def _report_live(self) -> None:
        counts = ", ".join(f"{name} {n}" for name, n in self._sender.counters.as_dict().items())
        self._say(f"live: {counts}")
        self._said_at = monotonic()
