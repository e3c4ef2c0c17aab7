"""The request and response bodies of the weights API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg
from pydantic import Field, field_validator

from services.scoring import weight_table
from services.scoring.preview import BANDS, Comparison, Move
from services.scoring.rescoring_store import Progress
from services.scoring.weight_table import WeightTable
from services.scoring.weights import Rates
from shared import ids
from shared.json_model import Flag, Json, Whole

REASON_CHARS = 500


class WantedWeights(Json):
    """Weights from now on, and why. Fields that the table omits have their defaults."""

    weights: WeightTable
    reason: str = Field(max_length=REASON_CHARS)

    @field_validator("reason")
    @classmethod
    def _says_something(cls, reason: str) -> str:
        reason = reason.replace("\x00", "").strip()
        if not reason:
            raise ValueError("give the reason in a sentence")
        return reason


class WantedHow(Json):
    dry_run: Flag = Field(False, description="only show what would change")


class WeightsHistoryQuery(Json):
    limit: Whole = Field(50, ge=1, le=500, description="maximum number of decisions")
    before: Whole | None = Field(None, ge=1, le=2**31 - 1, description="only versions below this")


class Decision(Json):
    """A decision about the weights: who, when and why."""

    version: int
    decided_at: datetime
    decided_by: str
    reason: str
    weights: WeightTable


class WeightsHistory(Json):
    """The decisions about a company's weights, newest first; version 1 is the defaults."""

    decisions: Sequence[Decision]
    next_before: int | None


class Rescoring(Json):
    """The last rescoring of all contacts. Times and figures are null if there was none."""

    state: Literal["never", "waiting", "running", "finished"]
    cause: str | None = None
    asked_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    done: int = 0
    total: int | None = None
    contacts_per_second: float | None = None


class CurrencyRates(Json):
    """`worth`: what one unit of each currency is worth in `currency`."""

    currency: str | None
    worth: dict[str, float]


class WeightsInForce(Json):
    """A company's weights, the decision that set them, and the progress of rescoring."""

    version: int
    weights: WeightTable
    decision: Decision | None
    defaults: WeightTable
    rates: CurrencyRates
    rescoring: Rescoring


class PointsChange(Json):
    """A component whose points would change, with its new reason."""

    name: str
    old_points: int
    new_points: int
    reason: str


class ScoreMove(Json):
    """A contact whose score would change."""

    contact_id: UUID
    person_id: str
    old_score: int
    new_score: int
    components: Sequence[PointsChange]


class WeightsPreview(Json):
    """What weights would change.

    `matrix` counts contacts by band: rows before, columns after; if sampled, only the contacts in
    the sample.
    """

    contacts: int
    looked_at: int
    sampled: bool
    change_score: int
    change_band: int
    bands: Sequence[str]
    matrix: Sequence[Sequence[int]]
    largest_moves: Sequence[ScoreMove]


def decision(row: asyncpg.Record) -> Decision:
    return Decision(
        version=row["number"],
        decided_at=row["decided_at"],
        decided_by=str(row["user_id"]),
        reason=row["reason"],
        weights=weight_table.read(row["weights"]),
    )


def in_force(decided: Decision | None, rates: Rates, progress: Progress | None) -> WeightsInForce:
    return WeightsInForce(
        version=decided.version if decided else 1,
        weights=decided.weights if decided else weight_table.DEFAULT,
        decision=decided,
        defaults=weight_table.DEFAULT,
        rates=CurrencyRates(currency=rates.currency, worth=dict(rates.worth)),
        rescoring=rescoring(progress),
    )


def rescoring(progress: Progress | None) -> Rescoring:
    if progress is None:
        return Rescoring(state="never")
    return Rescoring(
        state=_state(progress),
        cause=progress.cause,
        asked_at=progress.asked_at,
        started_at=progress.started_at,
        finished_at=progress.finished_at,
        done=progress.done,
        total=progress.total,
        contacts_per_second=_rate(progress),
    )


def _state(progress: Progress) -> Literal["waiting", "running", "finished"]:
    if progress.finished_at:
        return "finished"
    return "running" if progress.started_at else "waiting"


def _rate(progress: Progress) -> float | None:
    if progress.started_at is None or progress.moved_at is None:
        return None
    seconds = (progress.moved_at - progress.started_at).total_seconds()
    return round(progress.done / seconds, 1) if seconds > 0 else None


def preview(comparison: Comparison) -> WeightsPreview:
    return WeightsPreview(
        contacts=comparison.contacts,
        looked_at=comparison.looked_at,
        sampled=comparison.is_sampled,
        change_score=comparison.changed,
        change_band=comparison.change_band,
        bands=BANDS,
        matrix=comparison.matrix,
        largest_moves=[_move(each) for each in comparison.largest],
    )


def _move(move: Move) -> ScoreMove:
    pairs = zip(move.old.components, move.new.components, strict=True)
    return ScoreMove(
        contact_id=ids.contact(*move.key),
        person_id=str(move.key[1]),
        old_score=move.old.value,
        new_score=move.new.value,
        components=[
            PointsChange(name=n.name, old_points=o.points, new_points=n.points, reason=n.reason)
            for o, n in pairs
            if o.points != n.points
        ],
    )
