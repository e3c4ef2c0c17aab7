"""All that a score depends on besides weights and time, in bounded size. Pure.

Rule 1: signals of several persons combine in any order and grouping to the same signals, so a
        merged contact has what happened to all its persons.
Rule 2: only as many due dates are kept as can matter: the latest ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import TypeVar

WORTH_LIMIT = 1e15
"""Larger deals count as this much: beyond it a double no longer represents cents."""

T = TypeVar("T", date, datetime)


@dataclass(frozen=True, slots=True, order=True)
class DealSum:
    """The sum of the deals in one currency; an empty currency means none is given."""

    currency: str
    is_lost: bool
    amount: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person's own record says."""

    has_email: bool = False
    has_phone: bool = False
    org_id: int | None = None
    job_title: str | None = None
    lead_qualified: bool = False
    lead_contacted: bool = False
    response_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Dealings:
    """What happened with a person: activities, deals, open leads.

    `due_dates` are the latest ones, newest first; `*_due` the latest of a type; `last_activity`
    the newest moment of a done activity.
    """

    due_dates: tuple[date, ...] = ()
    meeting_due: date | None = None
    call_due: date | None = None
    email_due: date | None = None
    last_activity: datetime | None = None
    deals: tuple[DealSum, ...] = ()
    lead_qualified: bool = False
    lead_contacted: bool = False


NOTHING = Dealings()


@dataclass(frozen=True, slots=True)
class Signals:
    profile: Profile = Profile()
    dealings: Dealings = NOTHING


def bounded(amount: float | None) -> float:
    """An amount that can be added; NaN and missing amounts count nothing."""
    if amount is None or math.isnan(amount):
        return 0.0
    return min(max(amount, -WORTH_LIMIT), WORTH_LIMIT)


def combine(parts: Sequence[Dealings], *, keep: int) -> Dealings:
    """The dealings of several persons as if of one; at most `keep` due dates."""
    if len(parts) == 1:
        return parts[0]
    return Dealings(
        tuple(sorted((d for p in parts for d in p.due_dates), reverse=True)[:keep]),
        _latest([p.meeting_due for p in parts]),
        _latest([p.call_due for p in parts]),
        _latest([p.email_due for p in parts]),
        _latest([p.last_activity for p in parts]),
        _added([deal for p in parts for deal in p.deals]),
        any(p.lead_qualified for p in parts),
        any(p.lead_contacted for p in parts),
    )


def _latest(instants: Sequence[T | None]) -> T | None:
    return max((each for each in instants if each is not None), default=None)


def _added(deals: Sequence[DealSum]) -> tuple[DealSum, ...]:
    """`fsum` is exact, so the order of the parts does not affect the sum."""
    return tuple(
        DealSum(currency, is_lost, math.fsum(bounded(deal.amount) for deal in same))
        for (currency, is_lost), same in groupby(
            sorted(deals), key=lambda deal: (deal.currency, deal.is_lost)
        )
    )
