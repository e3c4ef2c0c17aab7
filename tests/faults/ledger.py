"""Accounts for every acked event: what became of it, by the log and by the stores.

Rule 1: an acked event is in the log or among the dead letters; if it is in neither, it is lost.
Rule 2: one in the log stands in its store's row (applied), or the row stands at a newer version
        (superseded); a row that is missing or older means that its effect is lost.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer

from tests.support.pipe import COMPANY

LOG = ("persons", "organizations", "deals", "activities", "leads", "users", "notes", "other")
WEBHOOKS_DLQ = "pipedrive.webhooks.dlq"
ROWS = {
    "person": "SELECT person_id::text, version FROM query.contacts WHERE company_id = $1",
    "activity": "SELECT activity_id::text, version FROM query.activities WHERE company_id = $1",
    "deal": "SELECT deal_id::text, version FROM scoring.deals WHERE company_id = $1",
    "lead": "SELECT lead_id, version FROM scoring.leads WHERE company_id = $1",
    "organization": "SELECT pipedrive_org_id::text, version FROM orgs.records "
    "WHERE company_id = $1 AND pipedrive_org_id IS NOT NULL",
    "user": "SELECT user_id::text, version FROM query.users WHERE company_id = $1",
}
# A change of score that does not begin where the one before ended, or that changed nothing, was
# made twice. One without an old score is a contact's first, or its first after it came back.
BROKEN_HISTORY = """
SELECT format('score of person %s went from %s to %s after it had gone to %s (%s, %s)', person_id,
              old_score, new_score, before, cause, event_id)
  FROM (SELECT *, lag(new_score) OVER w AS before, lag(points) OVER w AS points_before
          FROM scoring.score_changes
        WINDOW w AS (PARTITION BY company_id, person_id ORDER BY version)) AS changes
 WHERE old_score <> before
    OR (old_score = new_score AND points = points_before)
"""
MISCOUNTED = """
SELECT format('user %s is said to have %s contacts of score %s, and has %s', owner_id,
              coalesce(said.contacts, 0), score, coalesce(found.contacts, 0))
  FROM query.user_counts AS said
  FULL JOIN (SELECT company_id, owner_id, not_in_campaign, score, count(*) AS contacts
               FROM query.contacts WHERE listed GROUP BY 1, 2, 3, 4) AS found
 USING (company_id, owner_id, not_in_campaign, score)
 WHERE coalesce(said.contacts, 0) <> coalesce(found.contacts, 0)
"""


class Entry(NamedTuple):
    """An event in the log."""

    entity: str
    entity_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Account:
    outcomes: Mapping[str, int]
    lost: tuple[str, ...]


def account(
    acked: Iterable[str],
    log: Mapping[str, Entry],
    letters: frozenset[str],
    rows: Mapping[str, Mapping[str, int]],
) -> Account:
    outcomes: Counter[str] = Counter()
    lost = []
    for event_id in acked:
        entry = log.get(event_id)
        if event_id in letters:
            outcomes["dead-lettered"] += 1
        elif entry is None:
            lost.append(f"{event_id}: not in the log")
        elif entry.entity not in rows:
            outcomes["logged"] += 1  # no service keeps such entities
        else:
            held = rows[entry.entity].get(entry.entity_id, -1)
            if held < entry.version:
                lost.append(f"{event_id}: {entry.entity} {entry.entity_id} stands at {held}")
            else:
                outcomes["applied" if held == entry.version else "superseded"] += 1
    return Account(outcomes, tuple(lost))


async def log(bootstrap: str, prefix: str) -> tuple[dict[str, Entry], frozenset[str]]:
    """All events in the log, and the ids of webhooks among the dead letters."""
    entries: dict[str, Entry] = {}
    letters: set[str] = set()
    async for topic, key, value in _records(bootstrap, prefix):
        if topic.endswith(WEBHOOKS_DLQ):
            letters.add(key.decode().partition(":")[2])
            continue
        try:
            told: dict[str, Any] = orjson.loads(value)
        except orjson.JSONDecodeError:
            continue  # what a scenario poisoned
        entries[told["event_id"]] = Entry(told["entity"], told["entity_id"], told["version"])
    return entries, frozenset(letters)


async def _records(bootstrap: str, prefix: str) -> Any:
    names = [*(f"{prefix}pipedrive.{name}" for name in LOG), prefix + WEBHOOKS_DLQ]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.subscribe(names)
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
        ends = await consumer.end_offsets(list(consumer.assignment()))
        await consumer.seek_to_beginning()
        left = {partition for partition, end in ends.items() if end}
        while left:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record.topic, record.key, record.value
            left = {p for p in left if await consumer.position(p) < ends[p]}
    finally:
        await consumer.stop()


async def rows(database_url: str) -> dict[str, dict[str, int]]:
    """Entity, entity id, and the version that its store holds."""
    conn = await asyncpg.connect(database_url)
    try:
        return {
            entity: {row[0]: row[1] for row in await conn.fetch(sql, COMPANY)}
            for entity, sql in ROWS.items()
        }
    finally:
        await conn.close()


async def doubled(database_url: str) -> list[str]:
    """Effects that happened twice: changes of score told again, and counters that are off."""
    conn = await asyncpg.connect(database_url)
    try:
        found = [*await conn.fetch(BROKEN_HISTORY), *await conn.fetch(MISCOUNTED)]
        return [row[0] for row in found]
    finally:
        await conn.close()
