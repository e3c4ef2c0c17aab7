"""Delivery of webhook bodies, as Pipedrive does it.

Rule 1: POST with Basic auth; success is any 2xx within 10 s; redirects are not followed.
Rule 2: after a failure it is tried again 3, 30 and 150 s later, then the event is dropped.
Rule 3: the tenth failed first attempt bans the webhook for 30 minutes: whatever falls due in
        that time is lost. Failed retries do not count. The count starts over after a ban.
Rule 4: nothing is promised about order, nor against sending twice: `Faults` does both on purpose.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from devstack.pipedrive.bodies import retried

HEADERS = {
    "User-Agent": "Pipedrive Webhooks",
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, compress, deflate, br",
    "Content-Type": "application/json",
}

Body = Mapping[str, Any]


class Outcome(StrEnum):
    OK = "ok"
    DROPPED = "dropped"
    BANNED = "banned"


Done = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Rules:
    """`time_scale` shortens the waits, not the time that an answer may take."""

    answer_within_s: float = 10.0
    retry_after_s: tuple[float, ...] = (3.0, 30.0, 150.0)
    ban_after: int = 10
    ban_s: float = 1800.0
    time_scale: float = 1.0
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares between 0 and 1; `reorder_window` is how many events may overtake one another."""

    seed: int = 0
    duplicated: float = 0.0
    reorder_window: int = 0
    delayed: float = 0.0
    delay_s: float = 2.0


@dataclass(slots=True)
class Counters:
    """`sent` counts requests, `banned` events lost to bans, all else events."""

    sent: int = 0
    ok: int = 0
    retried: int = 0
    dropped: int = 0
    banned: int = 0
    bans: int = 0
    duplicated: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to: empty `problem` means a 2xx in time."""

    problem: str
    status: int | None = None

    @property
    def is_ok(self) -> bool:
        return not self.problem


class Sender:
    """`push` returns when there is room; leaving the context waits for all that is under way."""

    def __init__(
        self, target: Target, rules: Rules | None = None, faults: Faults | None = None
    ) -> None:
        self.target = target
        self.rules = rules or Rules()
        self.faults = faults or Faults()
        self.counters = Counters()
        self.heard: Callable[[Answer], None] = lambda _answer: None
        self._rng = Random(self.faults.seed)
        self._slots = asyncio.Semaphore(self.rules.concurrency)
        self._held: list[tuple[Body, Done]] = []
        self._failures = 0
        self._banned_until = 0.0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self.rules.answer_within_s)
        credentials = aiohttp.encode_basic_auth(self.target.user, self.target.password, "utf-8")
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                headers={**HEADERS, "Authorization": credentials}, timeout=timeout
            )
        )
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.flush()
        await self._stack.__aexit__(kind, error, trace)

    @property
    def is_banned(self) -> bool:
        return asyncio.get_running_loop().time() < self._banned_until

    async def push(self, body: Body, done: Done = lambda _outcome: None) -> None:
        """Send it with retries in the background; `done` is called once, at the end."""
        self._held.append((body, done))
        if len(self._held) > self.faults.reorder_window:
            await self._release()

    async def flush(self) -> None:
        """Release what the reordering holds back."""
        while self._held:
            await self._release()

    async def post(self, body: Body) -> Answer:
        """One request, outside the rules of retry and ban."""
        async with self._slots:
            return await self._post(body)

    async def _release(self) -> None:
        body, done = self._held.pop(self._rng.randrange(len(self._held)))
        await self._start(body, done)
        if self._rng.random() < self.faults.duplicated:
            self.counters.duplicated += 1
            await self._start(body, lambda _outcome: None)

    async def _start(self, body: Body, done: Done) -> None:
        """A slot is taken before the task begins: so first attempts keep the pushes' order."""
        delay = 0.0
        if self._rng.random() < self.faults.delayed:
            delay = self._rng.random() * self.faults.delay_s * self.rules.time_scale
        else:
            await self._slots.acquire()
        self._tasks.create_task(self._see_through(body, done, delay))

    async def _see_through(self, body: Body, done: Done, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
            await self._slots.acquire()
        done(self._count(await self._deliver(body)))

    async def _deliver(self, body: Body) -> Outcome:
        """Entered with a slot, which the first attempt gives back; retries take their own."""
        try:
            if self.is_banned:
                return Outcome.BANNED
            answer = await self._post(retried(body, 1))
        finally:
            self._slots.release()
        if answer.is_ok:
            return Outcome.OK
        self._first_attempt_failed()
        return await self._retry(body)

    async def _retry(self, body: Body) -> Outcome:
        for attempt, wait in enumerate(self.rules.retry_after_s, start=2):
            await asyncio.sleep(wait * self.rules.time_scale)
            if self.is_banned:
                return Outcome.BANNED
            self.counters.retried += 1
            answer = await self.post(retried(body, attempt))
            if answer.is_ok:
                return Outcome.OK
        return Outcome.DROPPED

    def ban(self) -> None:
        """As the tenth failed first attempt does."""
        self._failures = 0
        self.counters.bans += 1
        now = asyncio.get_running_loop().time()
        self._banned_until = now + self.rules.ban_s * self.rules.time_scale

    def _first_attempt_failed(self) -> None:
        self._failures += 1
        if self._failures >= self.rules.ban_after:
            self.ban()

    def _count(self, outcome: Outcome) -> Outcome:
        match outcome:
            case Outcome.OK:
                self.counters.ok += 1
            case Outcome.DROPPED:
                self.counters.dropped += 1
            case Outcome.BANNED:
                self.counters.banned += 1
        return outcome

    async def _post(self, body: Body) -> Answer:
        answer = await self._answer(body)
        self.heard(answer)
        return answer

    async def _answer(self, body: Body) -> Answer:
        url = self.target.url
        self.counters.sent += 1
        try:
            async with self._session.post(
                url, data=orjson.dumps(body), allow_redirects=False
            ) as response:
                await response.read()
        except TimeoutError:
            return Answer(f"{url} gave no answer within {self.rules.answer_within_s:g} s")
        except aiohttp.ClientConnectorError:
            return Answer(f"{url} is not listening")
        except aiohttp.ClientError as error:
            return Answer(f"{url} broke off: {error!r}")
        if response.status == 401:  # noqa: PLR2004
            return Answer(f"{url} refuses the user or password (401)", 401)
        if not response.ok or response.status >= 300:  # noqa: PLR2004
            return Answer(f"{url} answered {response.status}", response.status)
        return Answer("", response.status)
