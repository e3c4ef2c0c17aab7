"""The limits of the API: calls in two seconds, tokens in a day, and the firewall's patience.

Rule 1: the burst is counted over a rolling window, searches by a limit of their own.
Rule 2: a call that the burst refuses costs no tokens; one more call than the day has is refused.
Rule 3: a client that keeps calling after a 429 is blocked by the firewall, with an HTML page.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from shared.pipedrive import costs

WINDOW_S: Final = 2.0
SEARCHES: Final = 10
UNLIMITED: Final = 1_000_000


@dataclass(slots=True)
class Rules:
    """Null means without limit. `blocked_after` are refused calls within one window. Without
    `names_day` no header says what is left of the day, as Pipedrive's do not now and then.
    """

    burst: int | None = 80
    daily_tokens: int | None = 150_000
    blocked_after: int = 10
    blocked_s: float = 60.0
    names_day: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """`status` is 200, 429 or 403; `headers` go with the answer."""

    status: int
    headers: dict[str, str]


class Limits:
    """Every method takes the time, in seconds that only ever grow."""

    def __init__(self, rules: Rules, day: str = "") -> None:
        self.rules = rules
        self.tokens_used = 0
        self.refused = 0
        self._day = day
        self._calls: dict[bool, deque[float]] = {True: deque(), False: deque()}
        self._refusals: deque[float] = deque()
        self._blocked_until = 0.0

    def judge(self, called: costs.Call, now: float, day: str) -> Judgement:
        """`day` names the day whose tokens are spent."""
        if self._day and day != self._day:
            self.tokens_used = 0
        self._day = day
        if now < self._blocked_until:
            return Judgement(403, {})
        if self.is_day_spent(called.tokens):
            return self._refuse(called, now)
        if self._left(called, now) <= 0:
            return self._refuse(called, now)
        self._calls[called.is_search].append(now)
        self.tokens_used += called.tokens
        return Judgement(200, self._headers(called, now))

    def is_day_spent(self, tokens: int) -> bool:
        daily = self.rules.daily_tokens
        return daily is not None and self.tokens_used + tokens > daily

    def _refuse(self, called: costs.Call, now: float) -> Judgement:
        self.refused += 1
        _drop_before(self._refusals, now - WINDOW_S)
        self._refusals.append(now)
        if len(self._refusals) > self.rules.blocked_after:
            self._blocked_until = now + self.rules.blocked_s
            self._refusals.clear()
            return Judgement(403, {})
        headers = self._headers(called, now)
        if self.is_day_spent(called.tokens) and self.rules.names_day:
            headers["x-daily-ratelimit-token-remaining"] = "0"
        else:
            headers["x-ratelimit-remaining"] = "0"
        return Judgement(429, headers)

    def _burst(self, called: costs.Call) -> int | None:
        if self.rules.burst is None:
            return None
        return min(SEARCHES, self.rules.burst) if called.is_search else self.rules.burst

    def _left(self, called: costs.Call, now: float) -> int:
        burst = self._burst(called)
        if burst is None:
            return 1
        calls = self._calls[called.is_search]
        _drop_before(calls, now - WINDOW_S)
        return burst - len(calls)

    def _headers(self, called: costs.Call, now: float) -> dict[str, str]:
        headers = {}
        burst, daily = self._burst(called), self.rules.daily_tokens
        if burst is None:
            # A client without a reported limit assumes that of the smallest plan.
            headers["x-ratelimit-limit"] = headers["x-ratelimit-remaining"] = str(UNLIMITED)
        else:
            calls = self._calls[called.is_search]
            reset = max(0.0, calls[0] + WINDOW_S - now) if calls else WINDOW_S
            headers["x-ratelimit-limit"] = str(burst)
            headers["x-ratelimit-remaining"] = str(max(0, self._left(called, now)))
            headers["x-ratelimit-reset"] = str(max(1, round(reset + 0.5)))
        if daily is not None and self.rules.names_day:
            headers["x-daily-ratelimit-token-limit"] = str(daily)
            left = max(0, daily - self.tokens_used)
            headers["x-daily-ratelimit-token-remaining"] = str(left)
        return headers


def _drop_before(times: deque[float], then: float) -> None:
    while times and times[0] <= then:
        times.popleft()
