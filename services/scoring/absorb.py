"""Writes what the log says to the source tables, and returns whose scores it affects.

Rule 1: every row is a register: the same events end in the same row in any order.
Rule 2: rows are locked before they are read: a person's row is also written by the consumer of the
        survivor it was merged into, and any row by two consumers when partitions are added. A row
        that was missing is therefore still missing, and may be copied in.
Rule 3: a contact is touched when something that counts for its score changed, and only then;
        both the contact it counted for and the one it counts for from now on.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from services.scoring import sources
from services.scoring.families import Key
from services.scoring.sources import Fields, Source
from shared import db, events, locks, register
from shared.kafka.consumer import Received
from shared.register import Register, Write
from shared.tenants import Tenants

ROWS_LOCK = 0x53507273
MANY = 100
"""From this many rows on COPY is faster: one more round trip, and less time per row."""

RowKey: TypeAlias = tuple[int, Any]
Incoming: TypeAlias = dict[RowKey, list[Write]]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a contact is rescored: an event, time alone, or new weights or rates."""

    kind: str
    topic: str | None = None
    event_id: str | None = None


Touched: TypeAlias = dict[Key, Cause]


async def absorb(conn: db.Connection, facts: Sequence[Received], tenants: Tenants) -> Touched:
    """Write what the facts say; return the persons whose contacts are affected."""
    by_topic: dict[str, list[Any]] = defaultdict(list)
    for received in facts:
        by_topic[received.topic].append(received.fact)
    touched: Touched = {}
    for source in sources.ALL:
        if changes := by_topic.get(source.topic):
            incoming = _by_row(source, changes, tenants)
            await locks.hold(conn, ROWS_LOCK, ((source.table, *key) for key in incoming))
            touched |= await _merge(conn, source, incoming)
    return touched


async def _merge(conn: db.Connection, source: Source, incoming: Incoming) -> Touched:
    stored = await conn.fetch(source.load, *db.columns(list(incoming), 2))
    rows = {(row["company_id"], row["id"]): _register(source, row) for row in stored}
    empty = register.empty(source.fields)
    touched: Touched = {}
    fresh: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    for key, writes in incoming.items():
        old = rows.get(key, empty)
        row, causes = _applied(source, key, old, writes)
        if row is old or row == old:
            continue
        (changed if key in rows else fresh).append(_columns(source, key, row))
        touched |= causes
    await _save(conn, source, fresh, changed)
    return touched


def _applied(
    source: Source, key: RowKey, old: Register, writes: Iterable[Write]
) -> tuple[Register, Touched]:
    """The row after the writes, and whom they affect. The cause is the last write that changed
    what counts, not a later one without news.
    """
    row, first = old, _counts(source, old)
    counts = first
    causes: Touched = {}
    for write in writes:
        before, row = counts, register.apply(row, write)
        counts = _counts(source, row)
        cause = Cause("event", source.topic, write.stamp.event_id)
        causes |= dict.fromkeys(_concerned(source, key, before, counts), cause)
    return row, {each: causes[each] for each in _concerned(source, key, first, counts)}


def _counts(source: Source, row: Register) -> Fields | None:
    """Null for a row that has no facts yet."""
    return None if row.stamp == register.NEVER else source.counts(row)


async def _save(
    conn: db.Connection,
    source: Source,
    fresh: list[tuple[Any, ...]],
    changed: list[tuple[Any, ...]],
) -> None:
    if len(fresh) >= MANY:
        await conn.copy_records_to_table(source.table, records=fresh, columns=source.columns)
    else:
        changed = [*fresh, *changed]
    if changed:
        await conn.execute(source.save, *db.columns(changed, len(changed[0])))


def _by_row(source: Source, changes: Iterable[Any], tenants: Tenants) -> Incoming:
    incoming: Incoming = defaultdict(list)
    for change in changes:
        carried = source.carry(change, tenants.get(change.company_id))
        for entity_id, write in events.writes(change, carried):
            read = events.numbered(write) if source.has_numbers else write
            incoming[change.company_id, _row_id(source, entity_id)].append(read)
    return incoming


def _row_id(source: Source, entity_id: str) -> int | str:
    return events.number(entity_id) if source.has_numbers else entity_id


def _concerned(
    source: Source, key: RowKey, before: Fields | None, after: Fields | None
) -> set[Key]:
    company_id = key[0]
    sides = [side for side in (before, after) if side] if before != after else []
    if source is not sources.PERSONS:
        return {(company_id, side["person_id"]) for side in sides}
    if not sides:
        return set()
    merged = {side["merged_into"] for side in sides} - {None}
    return {(company_id, person_id) for person_id in merged | {key[1]}}


def _register(source: Source, row: asyncpg.Record) -> Register:
    stamp = register.Stamp(row["version"], row["rank"], row["event_id"])
    fields = {name: row[name] for name in source.fields}
    return Register(stamp, row["deleted"], fields, register.decode_lag(row["lag"]))


def _columns(source: Source, key: RowKey, row: Register) -> tuple[Any, ...]:
    return (
        *key,
        *row.stamp,
        row.deleted,
        register.encode_lag(row.lag),
        *row.fields.values(),
        *source.derived(row),
    )
