"""The company's part of the log in the order in which things happened, with their outcomes.

Rule 1: Postgres sorts and stores it, in a schema of its own, so memory does not grow with the log.
Rule 2: an outcome is a deal won or a meeting held, by the newest value of each field: a deal that
        was reopened or deleted, and a meeting whose "done" was revoked, do not count.
Rule 3: a contact that was merged away later has the outcomes of its survivor.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.scoring.backtest.metrics import Span
from services.scoring.families import Key, root
from shared import db, events, topics
from shared.errors import Poison
from shared.events import Action, Change
from shared.kafka.consumer import Received
from shared.kafka.replay import Logged

READ = (topics.PERSONS, topics.ACTIVITIES, topics.DEALS, topics.LEADS)
PREFETCH = 2_000

# Lost if Postgres crashes, like the whole run.
CREATE = """
CREATE UNLOGGED TABLE journal (
    at        timestamptz NOT NULL,
    version   bigint      NOT NULL,
    rank      smallint    NOT NULL,
    event_id  text        NOT NULL,
    topic     text        NOT NULL,
    entity_id text        NOT NULL,
    said      jsonb,
    value     bytea       NOT NULL
);
CREATE UNLOGGED TABLE outcomes (
    person_id bigint NOT NULL, kind text NOT NULL, at timestamptz NOT NULL
);
CREATE UNLOGGED TABLE lineage (person_id bigint PRIMARY KEY, survivor_id bigint NOT NULL);
"""
COLUMNS = ("at", "version", "rank", "event_id", "topic", "entity_id", "said", "value")

# Each field as in the newest body that has it.
OUTCOMES = """
WITH newest AS (
    SELECT DISTINCT ON (topic, entity_id, said.key) topic, entity_id, said.key, said.value
      FROM journal CROSS JOIN LATERAL jsonb_each(journal.said) AS said
     ORDER BY topic, entity_id, said.key, version DESC, rank DESC, event_id DESC
), bodies AS (
    SELECT topic, entity_id, jsonb_object_agg(key, value) AS body
      FROM newest
     GROUP BY topic, entity_id
), won AS (
    SELECT entity_id, min(at) AS at
      FROM journal
     WHERE topic = $1 AND said ->> 'status' = 'won'
     GROUP BY entity_id
), found AS (
    SELECT body, 'deal' AS kind, coalesce((body ->> 'won_time')::timestamptz, won.at) AS at
      FROM bodies JOIN won USING (entity_id)
     WHERE topic = $1 AND body ->> 'status' = 'won'
     UNION ALL
    SELECT body, 'meeting',
           coalesce((body ->> 'marked_as_done_time')::timestamptz,
                    least((body ->> 'due_date')::timestamp AT TIME ZONE 'UTC',
                          (body ->> 'occurred_at')::timestamptz))
      FROM bodies
     WHERE topic = $2 AND body ->> 'type' = 'meeting' AND body ->> 'done' = 'true'
)
INSERT INTO outcomes (person_id, kind, at)
SELECT coalesce(survivor_id, (body ->> 'person_id')::bigint), kind, at
  FROM found
  LEFT JOIN lineage ON person_id = (body ->> 'person_id')::bigint
 WHERE body ->> 'deleted' = 'false' AND body ->> 'person_id' IS NOT NULL AND at IS NOT NULL
"""

IN_ORDER = """
SELECT at, topic, value FROM journal WHERE at <= $1 ORDER BY at, version, rank, event_id
"""
SPAN = "SELECT min(at) AS began, max(at) AS ended, count(*) AS events FROM journal"
COUNT = "SELECT count(*) FROM journal WHERE at <= $1"
KINDS = "SELECT kind, count(*) FROM outcomes WHERE at > $1 AND at <= $2 GROUP BY kind"

DEAL_FIELDS = ("person_id", "status", "won_time")
ACTIVITY_FIELDS = ("person_id", "type", "done", "due_date", "marked_as_done_time")
WORDS = ("status", "type")
SAID = {topics.DEALS.name: DEAL_FIELDS, topics.ACTIVITIES.name: ACTIVITY_FIELDS}


@dataclass(slots=True)
class Journal:
    """`unreadable` counts records of the company that cannot be read."""

    company_id: int
    unreadable: int = 0
    _merged: dict[Key, Key] = field(default_factory=dict)

    async def create(self, conn: db.Connection) -> None:
        await conn.execute(CREATE)

    async def add(self, conn: db.Connection, records: Sequence[Logged]) -> None:
        own = b"%d:" % self.company_id
        rows = [self._row(each) for each in records if each.key.startswith(own)]
        kept = [row for row in rows if row is not None]
        await conn.copy_records_to_table("journal", records=kept, columns=COLUMNS)

    async def close(self, conn: db.Connection) -> None:
        """Everything has been added: compute the outcomes."""
        lineage = [(person[1], root(person, self._merged)[1]) for person in self._merged]
        await conn.copy_records_to_table("lineage", records=lineage)
        await conn.execute("ANALYZE journal")
        await conn.execute(OUTCOMES, topics.DEALS.name, topics.ACTIVITIES.name)
        await conn.execute("ANALYZE outcomes")

    async def span(self, conn: db.Connection) -> Span | None:
        """Null if it is empty."""
        row = await conn.fetchrow(SPAN)
        return Span(**row) if row and row["events"] else None

    async def count(self, conn: db.Connection, until: datetime) -> int:
        number: int = await conn.fetchval(COUNT, until)
        return number

    async def outcomes(
        self, conn: db.Connection, after: datetime, until: datetime
    ) -> Mapping[str, int]:
        return {row["kind"]: row["count"] for row in await conn.fetch(KINDS, after, until)}

    async def in_order(
        self, conn: db.Connection, until: datetime
    ) -> AsyncIterator[tuple[datetime, Received]]:
        """What happened up to then. Needs an open transaction."""
        models = {topic.name: topic.model for topic in READ}
        async for row in conn.cursor(IN_ORDER, until, prefetch=PREFETCH):
            fact = events.parse(models[row["topic"]], row["value"])
            yield row["at"], Received(row["topic"], fact)

    def _row(self, logged: Logged) -> tuple[Any, ...] | None:
        try:
            change: Any = events.parse(logged.topic.model, logged.value)
            self._check(logged.topic.name, change)
            self._see_merge(logged.topic.name, change)
        except Poison:
            self.unreadable += 1
            return None
        stamp = change.stamp
        said = _said(logged.topic.name, change)
        return (
            change.occurred_at,
            *stamp,
            logged.topic.name,
            change.entity_id,
            said,
            logged.value,
        )

    def _check(self, topic: str, change: Change[Any]) -> None:
        """Raises:
        Poison: scoring would dead-letter it.
        """
        if change.company_id != self.company_id or "\x00" in change.event_id + change.entity_id:
            raise Poison("not the company's, or a value that Postgres rejects")
        if topic != topics.LEADS.name:
            events.number(change.entity_id)

    def _see_merge(self, topic: str, change: Change[Any]) -> None:
        if topic != topics.PERSONS.name:
            return
        if change.action is Action.DELETE and change.merged_into:
            self._merged[self._person(change.entity_id)] = self._person(change.merged_into)
        elif change.merged_from and change.merged_from != change.entity_id:
            self._merged[self._person(change.merged_from)] = self._person(change.entity_id)

    def _person(self, entity_id: str) -> Key:
        return self.company_id, events.number(entity_id)


def _said(topic: str, change: Change[Any]) -> dict[str, Any] | None:
    """The parts of the body that matter for outcomes."""
    if topic not in SAID:
        return None
    said: dict[str, Any] = {"deleted": change.action is Action.DELETE}
    if change.action is not Action.DELETE:
        said["occurred_at"] = change.occurred_at.isoformat()
    if change.data is not None:
        body = change.data.model_dump(mode="json", include=change.data.model_fields_set)
        said |= {name: body[name] for name in SAID[topic] if name in body}
        said |= {name: _word(said[name]) for name in WORDS if name in said}
    return said


def _word(text: str | None) -> str | None:
    return text and text.replace("\x00", "").strip().lower()
