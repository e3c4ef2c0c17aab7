"""Follows the log for the sync: what has been published about Pipedrive's rows.

Rule 1: the sync's own records are read, too. Consumers go by the log: a row that is in the log but
        unknown here would never be missed when Pipedrive no longer has it. Only what this process
        itself has recorded is skipped (`written`): in a full sync that is nearly everything.
Rule 2: of a body only what is needed here is parsed.
Rule 3: nobody waits for this: batches are large and pauses between them long, as the webhook door
        of the same process needs the time.
Rule 4: webhooks of version 2 leave out fields that REST has; rows changed by one are remembered,
        unless a sync has read them since.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from pydantic import AwareDatetime

from services.ingest.settings import IngestSettings
from services.ingest.sync import known_store, lists
from services.ingest.sync.known_store import Heard, Whose
from shared import db, topics
from shared.errors import Poison
from shared.events import FIRST, LAST, Action, Fact, Id, Source
from shared.kafka.consumer import AfterCommit, Received
from shared.pacing import Pace

LEFT_OUT: Final = {
    "person": frozenset({"job_title"}),
    "organization": frozenset({"website", "industry", "size"}),
}
"""What webhooks of version 2 may leave out, by entity."""


class Carried(Fact):
    """The fields that are read from a body; of the others only their presence counts."""

    is_archived: bool | None = None
    job_title: object = None
    website: object = None
    industry: object = None
    size: object = None


class Glimpse(Fact):
    """The part of a change that concerns the sync. Only the newest one's times are used."""

    company_id: Id
    entity: Literal["organization", "person", "deal", "activity", "lead"]
    entity_id: str
    action: Action
    version: int
    source: Source
    occurred_at: AwareDatetime
    received_at: AwareDatetime
    merged_from: str | None = None
    data: Carried | None = None


TOPICS: Final = tuple(
    replace(topic, model=Glimpse)
    for topic in (
        topics.ORGANIZATIONS,
        topics.PERSONS,
        topics.DEALS,
        topics.ACTIVITIES,
        topics.LEADS,
    )
)
NOTE_EVENTS: Final = """
UPDATE connections
   SET last_event_at = heard.at, last_lag_ms = heard.lag_ms
  FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS heard (company_id, at, lag_ms)
 WHERE connections.company_id = heard.company_id
   AND (connections.last_event_at IS NULL OR connections.last_event_at < heard.at)
"""
LARGEST_BATCH: Final = 500
PACE: Final = Pace(times=4.0, least_s=0.25, most_s=1.0)
"""In a process that also accepts webhooks, those come first: however large the backlog, most of
the time is theirs.
"""
WEBHOOKS: Final = frozenset({Source.WEBHOOK_V1, Source.WEBHOOK_V2})


async def apply(conn: db.Connection, facts: Sequence[Received]) -> AfterCommit | None:
    newest: dict[Whose, Heard] = {}
    incomplete: dict[Whose, int] = {}
    events: dict[int, Glimpse] = {}
    for _, glimpse in facts:
        for heard in _heard(glimpse):
            place = heard[:3]
            if place not in newest or newest[place].version < heard.version:
                newest[place] = heard
            if _is_incomplete(glimpse):
                incomplete[place] = max(heard.version, incomplete.get(place, 0))
        if glimpse.source in WEBHOOKS:
            _note(events, glimpse)
    await known_store.hear(conn, newest.values())
    await known_store.missing(conn, incomplete)
    if events:
        rows = [_told(events[company_id]) for company_id in sorted(events)]
        await conn.execute(NOTE_EVENTS, *db.columns(rows, 3))
    return None


def _heard(glimpse: Glimpse) -> tuple[Heard, ...]:
    """Raises:
    Poison: it is not an id of Pipedrive's.
    """
    is_archived = bool(glimpse.data and glimpse.data.is_archived)
    of = lists.holding(glimpse.entity, is_archived=is_archived)
    told = Heard(
        glimpse.company_id,
        glimpse.entity,
        _place(of, glimpse.entity_id),
        of.name,
        glimpse.version,
        glimpse.action is Action.DELETE,
    )
    if not glimpse.merged_from:
        return (told,)
    return told, told._replace(place=_place(of, glimpse.merged_from), deleted=True)


def _place(of: lists.List, entity_id: str) -> bytes:
    try:
        return of.place(entity_id)
    except (ValueError, OverflowError) as error:
        raise Poison(f"not an id that Pipedrive gives: {entity_id[:40]!r}") from error


def _is_incomplete(glimpse: Glimpse) -> bool:
    if glimpse.data is None or glimpse.source is not Source.WEBHOOK_V2:
        return False
    wanted = LEFT_OUT.get(glimpse.entity)
    return wanted is not None and not wanted <= glimpse.data.model_fields_set


def _note(events: dict[int, Glimpse], glimpse: Glimpse) -> None:
    held = events.get(glimpse.company_id)
    if held is None or held.version < glimpse.version:
        events[glimpse.company_id] = glimpse


def _told(newest: Glimpse) -> tuple[int, datetime, int]:
    lag_ms = int((newest.received_at - newest.occurred_at).total_seconds() * 1000)
    return newest.company_id, min(max(newest.received_at, FIRST), LAST), max(0, lag_ms)


def slowly(settings: IngestSettings) -> IngestSettings:
    """Batch limits: reading one must not keep a webhook waiting."""
    return settings.model_copy(
        update={"batch_records": min(settings.batch_records, LARGEST_BATCH)}
    )
