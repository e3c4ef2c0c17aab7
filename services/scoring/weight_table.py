"""The weights as people write them: a table of numbers, validated before it takes effect. Pure.

Rule 1: no sign of warmth lowers a score: points are 0 or more, only long silence is 0 or less.
Rule 2: more of the same never counts less: larger deals and fresher contact give at least as many
        points as smaller and staler ones.
Rule 3: fields that a table omits have their defaults; the log gets the complete table, so later
        defaults change nothing that was decided before.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from services.scoring import weights
from services.scoring.signals import WORTH_LIMIT
from services.scoring.weights import Rates, Weights
from shared.json_model import Json

MOST_POINTS = 10
MOST_STEPS = 20
LONGEST_DAYS = 3650

Points = Annotated[int, Field(strict=True, ge=0, le=MOST_POINTS)]
Days = Annotated[int, Field(strict=True, ge=1, le=LONGEST_DAYS)]


class DealStep(Json):
    """Points for deals worth more than `above` in total."""

    above: float = Field(strict=True, ge=0, le=WORTH_LIMIT, allow_inf_nan=False)
    points: Points


class RecencyStep(Json):
    """Points for a last activity less than `within_days` ago."""

    within_days: Days
    points: Points


_DEFAULT_DEALS = tuple(
    DealStep(above=above, points=points) for above, points in weights.DEFAULT.deal_steps
)
_DEFAULT_RECENCY = tuple(
    RecencyStep(within_days=within.days, points=points)
    for within, points in weights.DEFAULT.recent_steps
)


class WeightTable(Json):
    """Points for each signal. Omitted fields have their defaults."""

    email: Points = weights.DEFAULT.email
    phone: Points = weights.DEFAULT.phone
    organization: Points = weights.DEFAULT.organization
    job_title: Points = weights.DEFAULT.job_title
    activity: Points = Field(weights.DEFAULT.activity, description="per activity counted")
    activity_cap: int = Field(
        weights.DEFAULT.activity_cap,
        strict=True,
        ge=0,
        le=100,
        description="most activities counted",
    )
    activity_window_days: Days = Field(
        weights.DEFAULT.activity_window.days,
        description="days after its due date that an activity counts",
    )
    meeting: Points = weights.DEFAULT.meeting
    call: Points = weights.DEFAULT.call
    email_sent: Points = weights.DEFAULT.email_sent
    deal_steps: Sequence[DealStep] = Field(_DEFAULT_DEALS, max_length=MOST_STEPS)
    lost_deals_count: bool = Field(weights.DEFAULT.lost_deals_count, strict=True)
    lead_qualified: Points = weights.DEFAULT.lead_qualified
    lead_contacted: Points = weights.DEFAULT.lead_contacted
    recency_steps: Sequence[RecencyStep] = Field(_DEFAULT_RECENCY, max_length=MOST_STEPS)
    quiet_after_days: Days = weights.DEFAULT.quiet_after.days
    quiet: int = Field(
        weights.DEFAULT.quiet,
        strict=True,
        ge=-MOST_POINTS,
        le=0,
        description="points for long silence",
    )
    responsive_above: float = Field(
        weights.DEFAULT.responsive_above, strict=True, ge=0, le=1, allow_inf_nan=False
    )
    responsive: Points = weights.DEFAULT.responsive

    @field_validator("deal_steps")
    @classmethod
    def _largest_first(cls, steps: Sequence[DealStep]) -> Sequence[DealStep]:
        ordered = tuple(sorted(steps, key=lambda step: step.above, reverse=True))
        for larger, smaller in pairwise(ordered):
            if larger.above == smaller.above:
                raise ValueError(f"two steps begin above {larger.above:g}")
            if larger.points < smaller.points:
                raise ValueError(
                    f"deals above {larger.above:g} may not give fewer points than deals "
                    f"above {smaller.above:g}"
                )
        return ordered

    @field_validator("recency_steps")
    @classmethod
    def _freshest_first(cls, steps: Sequence[RecencyStep]) -> Sequence[RecencyStep]:
        ordered = tuple(sorted(steps, key=lambda step: step.within_days))
        for fresher, staler in pairwise(ordered):
            if fresher.within_days == staler.within_days:
                raise ValueError(f"two steps end after {fresher.within_days} days")
            if fresher.points < staler.points:
                raise ValueError(
                    f"activity within {fresher.within_days} days may not give fewer points than "
                    f"activity within {staler.within_days} days"
                )
        return ordered

    @model_validator(mode="after")
    def _silence_comes_last(self) -> Self:
        longest = max((step.within_days for step in self.recency_steps), default=0)
        if self.quiet_after_days < longest:
            raise ValueError(
                f"quietAfterDays ({self.quiet_after_days}) may not be less than the longest "
                f"recency step ({longest} days)"
            )
        return self

    def stored(self) -> dict[str, Any]:
        """The whole table as plain JSON."""
        return self.model_dump(mode="json", by_alias=True)

    def weights(self, version: int, rates: Rates) -> Weights:
        return Weights(
            version=version,
            email=self.email,
            phone=self.phone,
            organization=self.organization,
            job_title=self.job_title,
            activity_window=timedelta(days=self.activity_window_days),
            activity=self.activity,
            activity_cap=self.activity_cap,
            meeting=self.meeting,
            call=self.call,
            email_sent=self.email_sent,
            deal_steps=tuple((step.above, step.points) for step in self.deal_steps),
            lost_deals_count=self.lost_deals_count,
            lead_qualified=self.lead_qualified,
            lead_contacted=self.lead_contacted,
            recent_steps=tuple(
                (timedelta(days=step.within_days), step.points) for step in self.recency_steps
            ),
            quiet_after=timedelta(days=self.quiet_after_days),
            quiet=self.quiet,
            responsive_above=self.responsive_above,
            responsive=self.responsive,
            rates=rates,
        )


DEFAULT = WeightTable()


def read(stored: Mapping[str, Any]) -> WeightTable:
    """A table from the log; unknown fields, from later versions of the program, are ignored.

    Raises:
        ValidationError: it is not a table of weights.
    """
    known = {field.alias for field in WeightTable.model_fields.values()}
    return WeightTable.model_validate({k: v for k, v in stored.items() if k in known})


def sentences(error: ValidationError) -> list[str]:
    """What is wrong with a table: one sentence per error, naming the field."""
    return [
        f"{'.'.join(map(str, each['loc'])) or 'weights'}: "
        f"{each['msg'].removeprefix('Value error, ')}."
        for each in error.errors(include_url=False, include_input=False)
    ]
