"""The tokens of a company's day, shared by all processes that call Pipedrive for it.

Rule 1: tokens are counted before the call, in Redis, for all processes together. While Redis is
        away each process counts alone, from what it last saw, and adds its part when it is back.
        A Redis that lost the day's data gets it back from the processes that know it.
Rule 2: sync never takes more than its share of a day, and leaves a part of the whole day's tokens
        alone, whoever used the others: they are the customer's. Calls that a user waits for, and
        the few that keep our webhook alive, continue until Pipedrive says that the day is spent.
Rule 3: a day is a UTC day. The time zone of Pipedrive's daily reset is undocumented, so a spent
        day is retried every hour.
Rule 4: the daily limit that Pipedrive reports overrides the plan's default.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.observability import PIPEDRIVE_TOKENS
from shared.pipedrive.errors import Blocked, DaySpent

log = logging.getLogger(__name__)

PLAN_TOKENS: Final = 30_000
"""Per day, for one seat on the smallest plan, until Pipedrive reports the company's limit."""
LEFT_FOR_OTHERS: Final = 0.05
KEPT: Final = timedelta(days=2)
TRIED_AGAIN: Final = timedelta(hours=1)
BLOCKED: Final = timedelta(minutes=5)
REDIS_S: Final = 0.5
REDIS_LEFT_ALONE_S: Final = 2.0


BEGAN: Final = "began"
"""Identifies the day's data in Redis; a different value means that Redis lost them."""
LEARNED: Final = ("limit", "remaining", "spent_until", "blocked_until")


class Purpose(StrEnum):
    """Whom a call is for: a waiting user, or something equally urgent, or the sync."""

    INTERACTIVE = "interactive"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Usage:
    """A company's day. `remaining` is what Pipedrive last reported, over all its API clients; null
    until it has. `used` are our own calls.
    """

    limit: int
    remaining: int | None
    used: int
    used_by_sync: int
    spent_until: datetime | None
    blocked_until: datetime | None


@dataclass(slots=True)
class Day:
    """What this process knows of a company's day, and what it has yet to add to Redis."""

    name: str
    seen: dict[str, int] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    learned: dict[str, int] = field(default_factory=dict)

    def get(self, name: str) -> int | None:
        if name in self.learned:
            return self.learned[name]
        return self.seen.get(name)

    def used(self, purpose: Purpose) -> int:
        return self.seen.get(purpose, 0) + self.taken[purpose]

    def restored(self, found: Mapping[str, int], told: Mapping[str, int]) -> bool:
        """Take over what Redis holds after `told` more tokens were added. Returns whether Redis
        had started the day over: then what was known before is added again, as far as others have
        not done so.
        """
        before, self.seen = self.seen, dict(found)
        if BEGAN not in before or before[BEGAN] == found[BEGAN]:
            return False
        for purpose in Purpose:
            others = found.get(purpose, 0) - told.get(purpose, 0)
            self.taken[purpose] += max(0, before.get(purpose, 0) - others)
        lost = {name: before[name] for name in LEARNED if name in before and name not in found}
        self.learned = lost | self.learned
        return True

    def forget(self, told: Mapping[str, int]) -> None:
        """Drop what everybody knows by now, unless something newer was learned meanwhile."""
        for name, value in told.items():
            if self.learned.get(name) == value:
                del self.learned[name]


class Budget:
    """Leave the context to close it. Without a URL it counts for this process alone."""

    def __init__(
        self,
        redis_url: str | None,
        *,
        sync_share: float = 0.5,
        plan_tokens: int = PLAN_TOKENS,
        prefix: str = "pipedrive",
    ) -> None:
        self._redis = _client(redis_url) if redis_url else None
        self._sync_share = sync_share
        self._plan_tokens = plan_tokens
        self._prefix = prefix
        self._days: dict[int, Day] = {}
        self._asked_again_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._redis is not None:
            # By TLS, that waits for the server's farewell; after `REDIS_S` it fails.
            with contextlib.suppress(RedisError, OSError):
                await self._redis.aclose()

    async def take(self, company_id: int, tokens: int, purpose: Purpose) -> None:
        """Count the tokens of a call that is about to be made.

        Raises:
            DaySpent: the call must not be made today.
            Blocked: it must not be made yet.
        """
        day = self._day(company_id)
        day.taken[purpose] += tokens
        await self._exchange(company_id, day)
        try:
            self._check(day, purpose)
        except (DaySpent, Blocked):
            day.taken[purpose] -= tokens
            raise
        PIPEDRIVE_TOKENS.labels(purpose.value).inc(tokens)

    def learn(self, company_id: int, *, limit: int | None, remaining: int) -> None:
        """Note what an answer's headers said; shared with the others at the next call."""
        learned = self._day(company_id).learned
        learned["remaining"] = remaining
        if limit is not None:
            learned["limit"] = limit

    async def spend_all(self, company_id: int) -> DaySpent:
        """Pipedrive says that no tokens are left. Returns what to raise."""
        until = min(_midnight(), _now() + TRIED_AGAIN)
        await self._tell(company_id, "spent_until", until)
        log.warning("pipedrive_day_spent", extra={"company_id": company_id})
        return DaySpent(until)

    async def block(self, company_id: int) -> Blocked:
        """Its firewall blocked us. Returns what to raise."""
        until = _now() + BLOCKED
        await self._tell(company_id, "blocked_until", until)
        log.error("pipedrive_blocked", extra={"company_id": company_id})
        return Blocked(until)

    async def usage(self, company_id: int) -> Usage:
        day = self._day(company_id)
        await self._exchange(company_id, day)
        sync = day.used(Purpose.SYNC)
        return Usage(
            limit=self._limit(day),
            remaining=day.get("remaining"),
            used=sync + day.used(Purpose.INTERACTIVE),
            used_by_sync=sync,
            spent_until=_later(day.get("spent_until")),
            blocked_until=_later(day.get("blocked_until")),
        )

    def _check(self, day: Day, purpose: Purpose) -> None:
        blocked = _later(day.get("blocked_until"))
        if blocked is not None:
            raise Blocked(blocked)
        spent = _later(day.get("spent_until"))
        if spent is not None:
            raise DaySpent(spent)
        if purpose is not Purpose.SYNC:
            return
        limit, remaining = self._limit(day), day.get("remaining")
        if day.used(purpose) > limit * self._sync_share:
            raise DaySpent(_midnight())
        if remaining is not None and remaining < limit * LEFT_FOR_OTHERS:
            raise DaySpent(min(_midnight(), _now() + TRIED_AGAIN))

    def _limit(self, day: Day) -> int:
        return day.get("limit") or self._plan_tokens

    def _day(self, company_id: int) -> Day:
        name = f"{_now():%Y-%m-%d}"
        day = self._days.get(company_id)
        if day is None or day.name != name:
            day = self._days[company_id] = Day(name)
        return day

    async def _tell(self, company_id: int, name: str, until: datetime) -> None:
        day = self._day(company_id)
        day.learned[name] = int(until.timestamp())
        await self._exchange(company_id, day)

    async def _exchange(self, company_id: int, day: Day) -> None:
        """Add our part to the day in Redis and read the whole, in one round trip."""
        if self._redis is None or time.monotonic() < self._asked_again_at:
            return
        key = f"{self._prefix}:{company_id}:{day.name}"
        while await self._told(key, day):
            pass

    async def _told(self, key: str, day: Day) -> bool:
        """Whether there is more to add: Redis had lost the day."""
        taken, day.taken = day.taken, Counter()
        learned, was_lost = dict(day.learned), False
        found: dict[str, int] | None = None
        try:
            found = await _add(self._redis, key, taken, learned)
        except (RedisError, OSError, TimeoutError) as error:
            self._asked_again_at = time.monotonic() + REDIS_LEFT_ALONE_S
            log.warning("pipedrive_budget_local", extra={"reason": type(error).__name__})
        finally:
            if found is not None:
                day.forget(learned)
                was_lost = day.restored(found, taken)
            else:
                day.taken.update(taken)
        return was_lost


def _client(url: str) -> "Redis":
    return Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=REDIS_S, socket_timeout=REDIS_S
    )


async def _add(
    redis: Any, key: str, taken: Mapping[str, int], learned: Mapping[str, int]
) -> dict[str, int]:
    """The whole day, including our part."""
    async with asyncio.timeout(REDIS_S), redis.pipeline(transaction=True) as pipe:
        for name, tokens in taken.items():
            if tokens:
                pipe.hincrby(key, name, tokens)
        if learned:
            pipe.hset(key, mapping={name: str(value) for name, value in learned.items()})
        pipe.hsetnx(key, BEGAN, str(secrets.randbits(53)))
        pipe.expire(key, KEPT)
        pipe.hgetall(key)
        answers: list[Any] = await pipe.execute()
    return {name: int(value) for name, value in answers[-1].items()}


def _now() -> datetime:
    return datetime.now(UTC)


def _midnight() -> datetime:
    """The next midnight."""
    return (_now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def _later(second: int | None) -> datetime | None:
    """The instant, if it is in the future."""
    at = datetime.fromtimestamp(second, UTC) if second else None
    return at if at is not None and at > _now() else None
