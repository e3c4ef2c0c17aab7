"""Decide how warm a contact is, why, and when that can next change. Pure.

Rule 1: a score is a function of signals, weights and now; the points of the components add up to
        it before the clamp.
Rule 2: from `now` until `next_change_at`, not included, no component changes by time alone.
Rule 3: an activity counts while `due_date > now - window`, so at due date + window it no longer
        does; its due date is 00:00 UTC of that day.
Rule 4: whatever the input holds, the result is a whole number of points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from services.scoring.signals import Dealings, Profile, Signals, bounded
from services.scoring.weights import Weights

FOREVER = datetime.max.replace(tzinfo=UTC)
TICK = timedelta(microseconds=1)

COMPONENTS = (
    "base.email",
    "base.phone",
    "base.organization",
    "base.job_title",
    "activity.count",
    "activity.meeting",
    "activity.call",
    "activity.email",
    "relationship.deals",
    "relationship.lead_qualified",
    "relationship.lead_contacted",
    "engagement.recency",
    "engagement.response_rate",
)


class Component(NamedTuple):
    """`evidence` is plain data that orjson can serialize."""

    name: str
    points: int
    reason: str
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """`components` has all of them, in the order of `COMPONENTS`, also those without points."""

    value: int
    components: tuple[Component, ...]
    next_change_at: datetime | None

    @property
    def total(self) -> int:
        """Before the clamp."""
        return sum(component.points for component in self.components)

    @property
    def points(self) -> dict[str, int]:
        """Of the components that have any."""
        return {each.name: each.points for each in self.components if each.points}


def score(signals: Signals, weights: Weights, *, now: datetime) -> Score:
    ends = _Ends()
    components = (
        *_base(signals.profile, weights),
        *_activity(signals.dealings, weights, now, ends),
        *_relationship(signals, weights),
        _recency(signals.dealings.last_activity, weights, now, ends),
        _response_rate(signals.profile.response_rate, weights),
    )
    total = sum(component.points for component in components)
    value = min(max(total, weights.lowest), weights.highest)
    return Score(value, components, None if ends.earliest == FOREVER else ends.earliest)


class _Ends:
    """Collects the instants at which something ceases to be true; keeps the earliest."""

    __slots__ = ("earliest",)

    def __init__(self) -> None:
        self.earliest = FOREVER

    def at(self, instant: datetime) -> None:
        self.earliest = min(self.earliest, instant)


def later(instant: datetime, span: timedelta) -> datetime:
    """`FOREVER` if that is beyond the calendar."""
    try:
        return instant + span
    except OverflowError:
        return FOREVER


@lru_cache(maxsize=4096)
def end_of(due: date, window: timedelta) -> datetime:
    """When an activity no longer counts. Cached, since the same few days recur."""
    return later(datetime(due.year, due.month, due.day, tzinfo=UTC), window)


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _days(span: timedelta) -> str:
    return _many(span.days, "day", "days")


def _base(profile: Profile, weights: Weights) -> Sequence[Component]:
    organization, title = profile.org_id, profile.job_title
    return (
        Component("base.email", weights.email, "has an e-mail address")
        if profile.has_email
        else Component("base.email", 0, "has no e-mail address"),
        Component("base.phone", weights.phone, "has a phone number")
        if profile.has_phone
        else Component("base.phone", 0, "has no phone number"),
        Component("base.organization", 0, "belongs to no organization")
        if organization is None
        else Component(
            "base.organization",
            weights.organization,
            "belongs to an organization",
            {"pipedriveOrgId": str(organization)},
        ),
        Component("base.job_title", weights.job_title, "has a job title", {"jobTitle": title})
        if title
        else Component("base.job_title", 0, "has no job title"),
    )


def _activity(
    dealings: Dealings, weights: Weights, now: datetime, ends: _Ends
) -> Sequence[Component]:
    window = weights.activity_window
    due = [day for day in dealings.due_dates if end_of(day, window) > now]
    if len(due) > weights.activity_cap:
        due = sorted(due, reverse=True)[: weights.activity_cap]
    if due and weights.activity:
        ends.at(end_of(min(due), window))
    at_least = "at least " if len(due) == weights.activity_cap else ""
    days = _days(window)
    what = _many(len(due), "activity", "activities")
    reason = f"{at_least}{what} due in the last {days} or later"
    count = Component(
        "activity.count",
        len(due) * weights.activity,
        reason if due else f"no activity due in the last {days} or later",
        {"dueDates": due} if due else None,
    )
    return (
        count,
        _kind("meeting", dealings.meeting_due, weights.meeting, (weights, now, ends)),
        _kind("call", dealings.call_due, weights.call, (weights, now, ends)),
        _kind("email", dealings.email_due, weights.email_sent, (weights, now, ends)),
    )


def _kind(
    kind: str, due: date | None, points: int, where: tuple[Weights, datetime, _Ends]
) -> Component:
    weights, now, ends = where
    days = _days(weights.activity_window)
    name = f"activity.{kind}"
    end = end_of(due, weights.activity_window) if due else None
    if due is None or end is None or end <= now:
        return Component(name, 0, f"no {kind} due in the last {days} or later")
    if points:
        ends.at(end)
    reason = f"{'an' if kind == 'email' else 'a'} {kind} due in the last {days} or later"
    return Component(name, points, reason, {"dueDate": due})


def _relationship(signals: Signals, weights: Weights) -> Sequence[Component]:
    profile, dealings = signals.profile, signals.dealings
    qualified = profile.lead_qualified or dealings.lead_qualified
    contacted = profile.lead_contacted or dealings.lead_contacted
    return (
        _deals(dealings, weights),
        Component("relationship.lead_qualified", weights.lead_qualified, "a lead is qualified")
        if qualified
        else Component("relationship.lead_qualified", 0, "no lead is qualified"),
        Component("relationship.lead_contacted", weights.lead_contacted, "a lead was contacted")
        if contacted
        else Component("relationship.lead_contacted", 0, "no lead was contacted"),
    )


def _deals(dealings: Dealings, weights: Weights) -> Component:
    name = "relationship.deals"
    counted = [d for d in dealings.deals if weights.lost_deals_count or not d.is_lost]
    if not counted:
        return Component(name, 0, "no deals")
    rates = weights.rates
    worth: list[float] = []
    without_rate: set[str] = set()
    for deal in counted:
        rate = rates.of(deal.currency)
        worth.append(bounded(deal.amount) * (1.0 if rate is None else rate))
        if rate is None and deal.currency:
            without_rate.add(deal.currency)
    total = math.fsum(worth)
    evidence: dict[str, Any] = {
        "total": total,
        "currency": rates.currency,
        "sums": [{"currency": d.currency or None, "amount": bounded(d.amount)} for d in counted],
    }
    reason = f"deals worth {total:,.2f} in all"
    if without_rate and (rates.currency is not None or len(without_rate) > 1):
        evidence["withoutRate"] = sorted(without_rate)
        reason += f"; counted as they stand, without a rate: {', '.join(sorted(without_rate))}"
    for bound, points in weights.deal_steps:
        if total > bound:
            return Component(name, points, f"{reason}; more than {bound:,.0f}", evidence)
    return Component(name, 0, f"{reason}; too little to count", evidence)


def _recency(last: datetime | None, weights: Weights, now: datetime, ends: _Ends) -> Component:
    name = "engagement.recency"
    if last is None:
        return Component(name, 0, "no activity was done yet")
    evidence = {"lastActivity": last}
    silence = now - last
    for bound, points in weights.recent_steps:
        if silence < bound:
            ends.at(later(last, bound))
            reason = f"last activity less than {_days(bound)} ago"
            return Component(name, points, reason, evidence)
    if silence > weights.quiet_after:
        reason = f"last activity more than {_days(weights.quiet_after)} ago"
        return Component(name, weights.quiet, reason, evidence)
    ends.at(later(later(last, weights.quiet_after), TICK))
    reason = f"last activity {_days(silence)} ago"
    return Component(name, 0, reason, evidence)


def _response_rate(rate: float | None, weights: Weights) -> Component:
    name = "engagement.response_rate"
    if rate is None or not 0 <= rate <= 1:
        return Component(name, 0, "the response rate is not known")
    evidence = {"responseRate": rate}
    limit = f"{weights.responsive_above:.0%}"
    if rate > weights.responsive_above:
        return Component(name, weights.responsive, f"answers more than {limit}", evidence)
    return Component(name, 0, f"answers no more than {limit}", evidence)
