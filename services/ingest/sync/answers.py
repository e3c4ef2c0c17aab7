"""What the sync's API answers, and how long a sync will still take.

Rule 1: time left is extrapolated from what has been done since the start, so a sync that waited
        for tokens overestimates it. For a full sync the measure is rows, once the lists have been
        counted; for an incremental one it is lists, since nobody knows beforehand how many rows
        changed. There is no estimate before a tenth of a second of work.
Rule 2: an unfinished sync never reports zero, nor less than its wait: when all rows counted
        beforehand have been read, nobody knows how long the rest takes.
"""

import math
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pydantic import Field

from services.ingest.sync import lists, steps
from services.ingest.sync.connection_store import Link
from services.ingest.sync.steps import Act, Mode
from services.ingest.sync.sync_store import Sync
from shared.json_model import Json
from shared.pipedrive.budget import Usage

SHORTEST_S: Final = 0.1
NOT_CONNECTED: Final = "Our webhook is not registered yet: connect the company."


class Request(Json):
    mode: Mode = Mode.INCREMENTAL


class Asked(Json):
    """The sync has been queued."""

    id: UUID


class Counts(Json):
    """`read` counts the rows that the list returned, each once per walk. `total` is an estimate
    until the list has been read; null where there is none yet.
    """

    read: int
    changed: int
    failed: int
    total: int | None = None


class Failure(Json):
    """A row that could not be read, or, with an empty id, a whole list."""

    list: str
    id: str
    error: str


class SyncTold(Json):
    """One synchronisation."""

    id: UUID
    mode: Mode
    state: str = Field(description="queued, running, waiting, done or failed")
    cause: str = Field(description="who requested it: user ID, schedule, connect or hook")
    reason: str | None = Field(description="why it waits or failed")
    entities: dict[str, Counts]
    tokens: int
    errors: list[Failure] = Field(description="the first 100")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    waiting_until: datetime | None = Field(
        description="while it waits for tokens or the end of an outage; it resumes by itself"
    )
    seconds_left: int | None = Field(description="includes the wait; null while unknown")


class SyncsTold(Json):
    """The latest synchronisations, newest first."""

    syncs: list[SyncTold]


class ConnectRequest(Json):
    url: str | None = Field(None, description="URL at which Pipedrive reaches ingest")


class Reason(StrEnum):
    """Why a webhook had to be registered."""

    MISSING = "missing"
    DIFFERENT = "switched_off_or_different"
    OWNER = "owner"
    CREDENTIALS = "credentials"


class Connected(Json):
    """The webhook is registered, and a full sync has been queued."""

    webhook_id: int
    webhook_url: str
    registered_because: Reason | None
    sync_id: UUID


class HookTold(Json):
    """A webhook as Pipedrive reports it."""

    id: int
    url: str
    version: str
    is_active: bool
    last_delivery_time: str | None
    last_http_status: int | None
    remove_time: str | None
    remove_reason: str | None


class TokensTold(Json):
    """Today's, in UTC. `remaining` is what Pipedrive last reported, over all its API clients."""

    limit: int
    used: int
    used_by_sync: int
    remaining: int | None
    spent_until: datetime | None


class ConnectionTold(Json):
    """State of the company's connection to Pipedrive."""

    connected: bool
    webhook: HookTold | None
    webhook_seen_at: datetime | None = Field(description="when Pipedrive last reported it")
    problem: str | None = Field(description="what is wrong with the webhook, in words")
    last_event_at: datetime | None
    lag_ms: int | None = Field(description="of that event, from the change to its receipt")
    tokens: TokensTold
    last_sync_at: datetime | None
    next_sync_at: datetime | None
    next_full_sync_at: datetime | None


def sync(row: Sync, now: datetime) -> dict[str, Any]:
    told = SyncTold(
        id=row.id,
        mode=row.mode,
        state=row.state,
        cause=row.cause,
        reason=row.reason,
        entities={name: Counts(**row.counts[name]) for name in lists.ALL if name in row.counts},
        tokens=row.tokens,
        errors=[Failure(**each) for each in row.errors],
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        waiting_until=row.due_at if row.state == "waiting" else None,
        seconds_left=seconds_left(row, now),
    )
    return told.model_dump(by_alias=True)


def share(row: Sync) -> float | None:
    """The share of what is to be read that has been; null while unknown."""
    if row.finished_at is not None:
        return 1.0
    plan = steps.plan(row.reads, is_thorough=True)
    left = steps.left(plan, row.mark.get("step"))
    if row.reads is Mode.INCREMENTAL:
        return (len(plan) - len(left)) / len(plan)
    if left[0].act in (Act.WHOLE, Act.MEASURE):
        return None
    totals = sum(max(of.get("total", 0), of["read"]) for of in row.counts.values())
    read = sum(of["read"] for of in row.counts.values())
    return min(1.0, read / totals) if totals else None


def seconds_left(row: Sync, now: datetime) -> int | None:
    if row.finished_at is not None:
        return 0
    done = share(row)
    if row.started_at is None or not done or done >= 1:
        return None
    took = (now - row.started_at).total_seconds()
    if took <= SHORTEST_S:
        return None
    return max(1, _waits_s(row, now) + round(took * (1 - done) / done))


def _waits_s(row: Sync, now: datetime) -> int:
    """Seconds until it resumes."""
    if row.state != "waiting":
        return 0
    return max(0, math.ceil((row.due_at - now).total_seconds()))


def hook(shown: dict[str, Any]) -> HookTold:
    return HookTold(
        id=int(shown["id"]),
        url=str(shown.get("subscription_url")),
        version=str(shown.get("version")),
        is_active=bool(shown.get("is_active")),
        last_delivery_time=shown.get("last_delivery_time"),
        last_http_status=shown.get("last_http_status"),
        remove_time=shown.get("remove_time"),
        remove_reason=shown.get("remove_reason"),
    )


def connection(link: Link | None, usage: Usage, last: datetime | None) -> dict[str, Any]:
    is_connected = link is not None and link.hook_url is not None
    return ConnectionTold(
        connected=is_connected,
        webhook=hook(link.hook_shown) if link and link.hook_shown else None,
        webhook_seen_at=link.hook_shown_at if link else None,
        problem=_problem(link) if link and is_connected else NOT_CONNECTED,
        last_event_at=link.last_event_at if link else None,
        lag_ms=link.last_lag_ms if link else None,
        tokens=TokensTold(
            limit=usage.limit,
            used=usage.used,
            used_by_sync=usage.used_by_sync,
            remaining=usage.remaining,
            spent_until=usage.spent_until,
        ),
        last_sync_at=last,
        next_sync_at=link.incremental_due if link else None,
        next_full_sync_at=link.full_due if link else None,
    ).model_dump(by_alias=True)


def _problem(link: Link) -> str | None:
    """What Pipedrive reports may sound as if the webhook was about to be registered again."""
    if link.hook_refusal is None:
        return link.hook_problem
    refused = f"The last attempt to register the webhook failed. {link.hook_refusal}"
    return refused if link.hook_problem is None else f"{link.hook_problem} {refused}"
