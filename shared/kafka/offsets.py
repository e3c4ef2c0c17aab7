"""A store's position in the log. Kept in the store, moved in the transaction it accounts for.

Rule: an offset only moves from the value that the mover expects; a superseded instance moves
nothing, and its whole transaction is rolled back.
"""

from collections.abc import Iterable
from typing import NamedTuple

from shared.db import Connection, columns


class Partition(NamedTuple):
    topic: str
    number: int


class Move(NamedTuple):
    partition: Partition
    expected: int
    next: int


class Superseded(Exception):
    """Another instance has moved the offset: this one no longer owns the partition."""


CLAIM = """
INSERT INTO consumer_offsets (topic, partition, next_offset)
SELECT topic, partition, 0 FROM unnest($1::text[], $2::int[]) AS claimed (topic, partition)
    ON CONFLICT DO NOTHING
"""

STORED = """
SELECT topic, partition, next_offset
  FROM consumer_offsets
  JOIN unnest($1::text[], $2::int[]) AS claimed (topic, partition) USING (topic, partition)
"""

ADVANCE = """
UPDATE consumer_offsets AS stored
   SET next_offset = move.next
  FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
       AS move (topic, partition, expected, next)
 WHERE stored.topic = move.topic
   AND stored.partition = move.partition
   AND stored.next_offset = move.expected
"""


async def load(conn: Connection, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The next offset of each partition; a partition never seen starts at 0."""
    arrays = columns(sorted(partitions), 2)
    await conn.execute(CLAIM, *arrays)
    rows = await conn.fetch(STORED, *arrays)
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def advance(conn: Connection, moves: Iterable[Move]) -> None:
    """Move the offsets, all or none.

    Raises:
        Superseded: some offset is not where it was expected.
    """
    rows = sorted((*move.partition, move.expected, move.next) for move in moves)
    status: str = await conn.execute(ADVANCE, *columns(rows, 4))
    moved = int(status.rpartition(" ")[2])
    if moved != len(rows):
        raise Superseded(f"{len(rows) - moved} of {len(rows)} offsets were moved by another")
