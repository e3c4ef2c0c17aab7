"""Hears in the log what webhooks told of Pipedrive's rows, for the sync to know of it.

Rule 1: what the sync itself published is known already and is passed over.
Rule 2: of a body only what is needed here is read.
Rule 3: webhooks of version 2 leave out fields that REST has; rows that changed so are remembered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from services.ingest.sync import known_store, lists
from services.ingest.sync.known_store import Heard
from shared import db, topics
from shared.errors import Poison
from shared.events import Action, Fact, Id, Instant, Source
from shared.kafka.consumer import AfterCommit, Received

LEFT_OUT: Final = {
    "person": frozenset({"job_title"}),
    "organization": frozenset({"website", "industry", "size"}),
}
"""What webhooks of version 2 may leave out, by entity."""


class Carried(Fact):
    """What is looked at in a body; of the others only whether they were in it counts."""

    is_archived: bool | None = None
    job_title: object = None
    website: object = None
    industry: object = None
    size: object = None


class Glimpse(Fact):
    """A change, as far as the sync is concerned."""

    company_id: Id
    entity: str
    entity_id: str
    action: Action
    version: int
    source: Source
    occurred_at: Instant
    received_at: Instant
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
WEBHOOKS: Final = frozenset({Source.WEBHOOK_V1, Source.WEBHOOK_V2})


async def apply(conn: db.Connection, facts: Sequence[Received]) -> AfterCommit | None:
    newest: dict[tuple[int, str, bytes], Heard] = {}
    incomplete: list[tuple[int, str, bytes]] = []
    events: dict[int, tuple[datetime, int]] = {}
    for _, glimpse in facts:
        if glimpse.source is Source.SYNC:
            continue
        for heard in _heard(glimpse):
            place = heard[:3]
            if place not in newest or newest[place].version < heard.version:
                newest[place] = heard
            if _is_incomplete(glimpse):
                incomplete.append(place)
        if glimpse.source in WEBHOOKS:
            _note(events, glimpse)
    await known_store.hear(conn, newest.values())
    await known_store.missing(conn, incomplete)
    if events:
        rows = sorted((company_id, *told) for company_id, told in events.items())
        await conn.execute(NOTE_EVENTS, *db.columns(rows, 3))
    return None


def _heard(glimpse: Glimpse) -> Iterator[Heard]:
    """Raises:
    Poison: Pipedrive gives no such id.
    """
    carried = glimpse.data.model_dump(include={"is_archived"}) if glimpse.data else None
    of = lists.holding(glimpse.entity, carried)
    told = Heard(
        glimpse.company_id,
        glimpse.entity,
        _place(of, glimpse.entity_id),
        of.name,
        glimpse.version,
        glimpse.action is Action.DELETE,
    )
    yield told
    if glimpse.merged_from:
        yield told._replace(place=_place(of, glimpse.merged_from), deleted=True)


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


def _note(events: dict[int, tuple[datetime, int]], glimpse: Glimpse) -> None:
    lag_ms = int((glimpse.received_at - glimpse.occurred_at).total_seconds() * 1000)
    held = events.get(glimpse.company_id)
    if held is None or held[0] < glimpse.received_at:
        events[glimpse.company_id] = glimpse.received_at, max(0, lag_ms)
