"""A row of Pipedrive's REST lists, version 1 or 2, as the change it tells. Pure.

Rule 1: a row is read by the same tables as a webhook's body: one fact has one name of ours.
Rule 2: a row counts as written at the end of the second of its `update_time`, else `add_time`: so
        it heals webhooks lost in that second and never undoes a later one. Until that second is
        over the row may still change: it is unsettled.
Rule 3: the event id is a function of the row's identity and content, so a row with the same
        content as before is the same event, and no other row's is. `turn` counts the contents that
        a row had under one `update_time`, and orders them.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from services.ingest import fields, payload, values
from services.ingest.payload import CHANGE, DELETE, Json, carried, usable_id
from shared.errors import Poison
from shared.events import Source, key
from shared.kafka.rounds import Record
from shared.topics import OF_ENTITY, OTHER

SECOND_US: Final = 1_000_000
SLACK: Final = timedelta(seconds=2)
"""How far our clock may be ahead of theirs."""
DIGEST_BYTES: Final = 12
TURN_BYTES: Final = 4
LAST_CHANGED: Final = ("update_time", "modified", "add_time", "created")


class Row(NamedTuple):
    """`written_us` is the end of the second in which the row was last written, in microseconds;
    null if the row names no time. `digest` is that of its content.
    """

    entity: str
    entity_id: str
    action: str
    data: Any
    written_us: int | None
    digest: bytes

    @property
    def is_deleted(self) -> bool:
        return self.action == DELETE

    def is_settled(self, asked_at: datetime) -> bool:
        """Whether its second was over, by any clock, when the row was requested (rule 2)."""
        return self.written_us is None or self.written_us <= values.micros(asked_at - SLACK)

    def version(self, asked_at: datetime) -> int:
        """A row without a time, or from the future, counts as written when it was requested."""
        at = values.micros(asked_at)
        return at if self.written_us is None else min(self.written_us, at)


def read(entity: str, raw: Any) -> Row:
    """Raises:
    Poison: the row is not an object, or has no usable id.
    """
    if not isinstance(raw, dict):
        raise not_an_object(entity)
    entity_id = usable_id(entity, raw.get("id"))
    if entity_id is None:
        raise Poison(f"the {entity[:40]} has no usable id")
    is_deleted = fields.is_deleted(entity, raw)
    data = None if is_deleted else carried(entity, raw)
    return Row(
        entity,
        entity_id,
        DELETE if is_deleted else CHANGE,
        data,
        _written_us(raw),
        _digest(data if not is_deleted else raw.get("update_time")),
    )


def not_an_object(entity: str) -> Poison:
    return Poison(f"the {entity[:40]} is not an object")


def gone(entity: str, entity_id: str) -> Row:
    """The deletion that a missing row stands for."""
    return Row(entity, entity_id, DELETE, None, None, _digest(None))


def envelope(
    row: Row, *, company_id: int, version: int, turn: int, now: datetime, source: Source
) -> Json:
    """The fields of the change, each already of its model's type."""
    return {
        "event_id": _event_id(row, company_id, turn),
        "company_id": company_id,
        "entity": row.entity,
        "entity_id": row.entity_id,
        "action": row.action,
        "version": version,
        "occurred_at": datetime.fromtimestamp(version // SECOND_US, UTC),
        "received_at": now,
        "source": source.value,
        "data": row.data,
    }


def record(
    row: Row, *, company_id: int, version: int, turn: int, now: datetime, source: Source
) -> Record:
    """The change, for the log."""
    told = envelope(row, company_id=company_id, version=version, turn=turn, now=now, source=source)
    topic = OF_ENTITY.get(row.entity, OTHER).name
    return Record(topic, key(company_id, row.entity_id), payload.dump(told))


def _event_id(row: Row, company_id: int, turn: int) -> str:
    """Ids of one row under one `update_time` sort by turn."""
    whose = f"{company_id}:{row.entity}:{row.entity_id}:".encode()
    said = blake2b(whose + row.digest, digest_size=DIGEST_BYTES).digest()
    return str(UUID(bytes=turn.to_bytes(TURN_BYTES, "big") + said))


def _written_us(raw: Json) -> int | None:
    for name in LAST_CHANGED:
        at = values.moment(raw.get(name))
        if at is not None and at >= values.EPOCH:
            return values.micros(at) // SECOND_US * SECOND_US + SECOND_US - 1
    return None


def _digest(data: Any) -> bytes:
    try:
        said = orjson.dumps(data, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError as error:
        raise Poison("the row is nested too deep") from error
    return blake2b(said, digest_size=DIGEST_BYTES).digest()
