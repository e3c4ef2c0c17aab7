"""The scoring API's responses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import Field

from services.scoring.families import Key
from services.scoring.score import score
from services.scoring.signals import Signals
from services.scoring.weights import Weights
from shared import ids
from shared.events import BIGINT_MAX
from shared.json_model import Json, Whole


class ScoreComponent(Json):
    """One rule: what it gives this contact, and why."""

    name: str
    points: int
    reason: str
    evidence: dict[str, Any] | None = None


class ContactScore(Json):
    """A contact's warmness, with its explanation.

    `sum` is the total of the components, `score` that total limited to 0 to 10, `clamped` whether
    they differ.
    """

    contact_id: UUID
    person_id: str
    score: int
    components: Sequence[ScoreComponent]
    sum: int
    clamped: bool
    last_contacted: datetime | None
    next_change_at: datetime | None
    weights_version: int


class ChangeCause(Json):
    """`kind` is `event`, `time`, `weights`, `rates` or, where the store was rebuilt with other
    code or settings, `rebuild`. An event is named by its topic and id.
    """

    kind: str
    topic: str | None
    event_id: str | None


class ScoreChange(Json):
    """A change of score; `old_score` is null for the first."""

    at: datetime
    old_score: int | None
    new_score: int
    points: dict[str, int]
    cause: ChangeCause
    weights_version: int


class ScoreHistory(Json):
    """The changes of a contact's score, newest first."""

    contact_id: UUID
    person_id: str
    changes: Sequence[ScoreChange]
    next_cursor: str | None


class HistoryQuery(Json):
    limit: Whole = Field(50, ge=1, le=500, description="maximum number of changes")
    cursor: Whole | None = Field(
        None, ge=0, le=BIGINT_MAX, description="`nextCursor` of the previous page"
    )


def contact_score(key: Key, signals: Signals, weights: Weights, now: datetime) -> ContactScore:
    result = score(signals, weights, now=now)
    return ContactScore(
        contact_id=ids.contact(*key),
        person_id=str(key[1]),
        score=result.value,
        components=[ScoreComponent(**each._asdict()) for each in result.components],
        sum=result.total,
        clamped=result.total != result.value,
        last_contacted=signals.dealings.last_activity,
        next_change_at=result.next_change_at,
        weights_version=weights.version,
    )


def score_history(key: Key, rows: Sequence[asyncpg.Record], limit: int) -> ScoreHistory:
    """`rows` has one more than `limit` if more follow."""
    changes = [
        ScoreChange(
            at=row["at"],
            old_score=row["old_score"],
            new_score=row["new_score"],
            points=row["points"],
            cause=ChangeCause(kind=row["cause"], topic=row["topic"], event_id=row["event_id"]),
            weights_version=row["weights_version"],
        )
        for row in rows[:limit]
    ]
    return ScoreHistory(
        contact_id=ids.contact(*key),
        person_id=str(key[1]),
        changes=changes,
        next_cursor=str(rows[limit - 1]["version"]) if len(rows) > limit else None,
    )
