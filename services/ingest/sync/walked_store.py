"""SQL of what walks by offset have handed on. Every function takes the caller's connection.

Rule: a page is added in the transaction that moves the mark past it, so that resuming from the
mark knows all that was handed on.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from services.ingest.sync.known_store import SUSPECT_ALL_BUT
from services.ingest.sync.offsets import Key
from shared.db import Connection

ADD = "INSERT INTO walked (sync_id, list, ids, sorts) VALUES ($1, $2, $3, $4)"

KEYS = "SELECT ids, sorts FROM walked WHERE sync_id = $1 AND list = $2"

SUSPECT = SUSPECT_ALL_BUT.format(
    within="", shown="SELECT unnest(ids) FROM walked WHERE sync_id = $1 AND list = $4::text"
)

FORGET = "DELETE FROM walked WHERE sync_id = $1 AND list = $2"


class Walked(NamedTuple):
    """What a page handed on, and whether the list ends there."""

    keys: Sequence[Key]
    is_last: bool


async def add(conn: Connection, sync_id: UUID, in_list: str, keys: Sequence[Key]) -> None:
    """As bytes, as places are: Postgres' text cannot hold all that JSON can."""
    if keys:
        ids, sorts = zip(*keys, strict=True)
        columns = [[one.encode() for one in column] for column in (ids, sorts)]
        await conn.execute(ADD, sync_id, in_list, *columns)


async def keys(conn: Connection, sync_id: UUID, in_list: str) -> set[Key]:
    """Of all pages so far, read page by page: webhooks in the same process do not wait for all."""
    found: set[Key] = set()
    for ids, sorts in await conn.fetch(KEYS, sync_id, in_list):
        pairs = zip(ids, sorts, strict=True)
        found.update((entity_id.decode(), sort.decode()) for entity_id, sort in pairs)
        await asyncio.sleep(0)
    return found


async def suspect(
    conn: Connection, sync_id: UUID, listed: tuple[int, str, str], began_us: int
) -> None:
    """All known rows that the walk has not shown. `listed` is the company, entity and list."""
    await conn.execute(SUSPECT, sync_id, *listed, began_us)


async def forget(conn: Connection, sync_id: UUID, in_list: str) -> None:
    await conn.execute(FORGET, sync_id, in_list)
