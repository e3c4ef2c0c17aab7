"""The points for each signal. Pure data: another table of weights is another value.

Rule: a missing or implausible rate does not count as a rate; the deal then counts unconverted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.tenants import Tenant

SMALLEST_RATE = 1e-9
LARGEST_RATE = 1e9


@dataclass(frozen=True, slots=True)
class Rates:
    """What one unit of a currency is worth in units of `currency`."""

    currency: str | None = None
    worth: Mapping[str, float] = field(default_factory=dict)

    def of(self, currency: str | None) -> float | None:
        """Null if no rate is known."""
        if self.currency is None or currency is None:
            return None
        rate = self.worth.get(currency, 1.0 if currency == self.currency else None)
        if rate is None or not SMALLEST_RATE <= rate <= LARGEST_RATE:
            return None
        return rate


@dataclass(frozen=True, slots=True)
class Weights:
    """Steps are (bound, points) in the order in which they are tried; the first match counts.

    `deal_steps` match above their bound, `recent_steps` below theirs; longer silence than
    `quiet_after` counts `quiet`.
    """

    version: int = 1
    email: int = 1
    phone: int = 1
    organization: int = 1
    job_title: int = 1
    activity_window: timedelta = timedelta(days=30)
    activity: int = 1
    activity_cap: int = 3
    meeting: int = 2
    call: int = 1
    email_sent: int = 1
    deal_steps: tuple[tuple[float, int], ...] = ((10_000, 2), (1_000, 1))
    lost_deals_count: bool = True
    lead_qualified: int = 1
    lead_contacted: int = 1
    recent_steps: tuple[tuple[timedelta, int], ...] = (
        (timedelta(days=7), 2),
        (timedelta(days=30), 1),
    )
    quiet_after: timedelta = timedelta(days=90)
    quiet: int = -1
    responsive_above: float = 0.5
    responsive: int = 1
    lowest: int = 0
    highest: int = 10
    rates: Rates = field(default_factory=Rates)


DEFAULT = Weights()


def rates_of(tenant: Tenant) -> Rates:
    """The company's own rates that are valid."""
    if tenant.currency is None:
        return Rates()
    worth = {
        _name(name): rate
        for name, rate in tenant.currency_rates.items()
        if SMALLEST_RATE <= rate <= LARGEST_RATE
    }
    return Rates(_name(tenant.currency), worth)


def _name(currency: str) -> str:
    """Normalized; Postgres accepts no NUL."""
    return currency.replace("\x00", "").strip().upper()
