"""What an answer of Pipedrive means. Pure.

Rule 1: a 429 is the burst limit's, unless the headers say that the day has fewer tokens left than
        the call costs.
Rule 2: a 403 that is not JSON comes from the firewall in front of Pipedrive, not from Pipedrive.
        It blocks the account, or this path alone, and a 402, which says that the account is not
        open, may also mean that this path is not in its plan: another path must show which.
Rule 3: a body is parsed whatever its declared type; one without a meaning is a failure on their
        side, unless its status says that the request is wrong. Only Pipedrive itself is trusted
        to say that something does not exist.
Rule 4: one row that strict parsers reject, for example for half an emoji, does not cost the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from shared import lenient_json
from shared.pipedrive.errors import PipedriveRefused

BURST_S: Final = 2.0
LONGEST_BURST_S: Final = 60.0
TOO_MANY: Final = 429
NOT_OPEN: Final = 402
FORBIDDEN: Final = 403
OF_GATEWAYS: Final = (404, 408, 410, 425)
"""Without JSON these are about the way to Pipedrive, not about the request."""
ELSEWHERE: Final = frozenset({301, 302, 303, 307, 308, 404})
"""Without JSON: no API answers there, for example because the company was renamed."""
SENTENCES: Final = {
    401: "Pipedrive does not accept the API token.",
    402: "The Pipedrive account is not active.",
}
LONGEST_SENTENCE: Final = 300


class Verdict(StrEnum):
    OK = "ok"
    REFUSED = "refused"
    BURST_SPENT = "burst_spent"
    DAY_SPENT = "day_spent"
    BLOCKED = "blocked"
    BROKEN = "broken"


class Day(NamedTuple):
    """Tokens; `limit` is null if only the other one is given."""

    limit: int | None
    remaining: int


class Burst(NamedTuple):
    """Calls within two seconds: how many are allowed, and how many are left."""

    limit: int | None
    left: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`told` is the body's JSON object, null if it has none. `headers` must be a case-insensitive
    mapping.
    """

    status: int
    headers: Mapping[str, str]
    told: dict[str, Any] | None

    @property
    def day(self) -> Day | None:
        limit = _number(self.headers.get("x-daily-ratelimit-token-limit"))
        remaining = _number(self.headers.get("x-daily-ratelimit-token-remaining"))
        if remaining is None:
            return None
        return Day(None if limit is None else int(limit), int(remaining))

    @property
    def burst(self) -> Burst:
        limit = _number(self.headers.get("x-ratelimit-limit"))
        left = _number(self.headers.get("x-ratelimit-remaining"))
        return Burst(None if limit is None else int(limit), None if left is None else int(left))

    @property
    def retry_after_s(self) -> float:
        for name in ("retry-after", "x-ratelimit-reset"):
            seconds = _number(self.headers.get(name))
            if seconds is not None:
                return min(max(seconds, 0.1), LONGEST_BURST_S)
        return BURST_S


def read(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    try:
        found = lenient_json.read(content)
    except ValueError:
        found = None
    return Answer(status, headers, found if isinstance(found, dict) else None)


def verdict(answer: Answer, tokens: int = 1) -> Verdict:
    """For a call with this cost."""
    if answer.status == TOO_MANY:
        is_day = answer.day is not None and answer.day.remaining < tokens
        return Verdict.DAY_SPENT if is_day else Verdict.BURST_SPENT
    if answer.told is None and answer.status == FORBIDDEN:
        return Verdict.BLOCKED
    if answer.told is None and answer.status in OF_GATEWAYS:
        return Verdict.BROKEN
    if 400 <= answer.status < 500:  # noqa: PLR2004
        return Verdict.REFUSED
    if answer.told is None or not 200 <= answer.status < 300:  # noqa: PLR2004
        return Verdict.BROKEN
    return Verdict.OK if answer.told.get("success") is True else Verdict.REFUSED


def may_concern_all(answer: Answer) -> bool:
    """Whether it says of the account that nothing is served."""
    is_page = answer.told is None and answer.status == FORBIDDEN
    return is_page or answer.status == NOT_OPEN


def unserved(answer: Answer) -> PipedriveRefused:
    """The refusal of one path alone, by an answer that would concern all."""
    return PipedriveRefused(FORBIDDEN, _sentence(answer))


def refused(answer: Answer) -> PipedriveRefused:
    """The refusal in Pipedrive's own words."""
    status = max(answer.status, 400)
    own = SENTENCES.get(status)
    return PipedriveRefused(status, own or _sentence(answer))


def without_meaning(answer: Answer) -> str:
    """What came instead of a valid answer."""
    said = f"unexpected answer, status {answer.status}"
    if answer.status not in ELSEWHERE:
        return said
    host = _host(answer.headers.get("location"))
    to = f", a redirect to {host}" if host else ""
    return f"{said}{to}: is the company's api_domain in the tenants file still right?"


def _sentence(answer: Answer) -> str:
    return f"Pipedrive refused: {_reason(answer.told or {})}"


def _host(location: str | None) -> str | None:
    try:
        return urlsplit(location or "").hostname
    except ValueError:
        return None


def _reason(told: Mapping[str, Any]) -> str:
    named = told.get("error") or told.get("message")
    if isinstance(named, str) and named.strip():
        reason = named.strip()
    else:
        reason = _of_fields(told.get("errors")) or "no reason given"
    storable = reason.replace("\0", "")  # Postgres stores no NUL
    return storable[:LONGEST_SENTENCE].rstrip(".") + "."


def _of_fields(errors: Any) -> str:
    """`{"subscription_url": ["not reachable"]}`, as the webhooks API writes it."""
    if not isinstance(errors, dict):
        return ""
    said = []
    for name, reasons in errors.items():
        listed = reasons if isinstance(reasons, list) else [reasons]
        said.append(f"{name}: {', '.join(map(str, listed))}")
    return "; ".join(said)


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None
