"""Whether a row that was read is news, and how it is published. Pure.

Rule 1: a row equal to what we published last is not news.
Rule 2: contents that a row had under one `update_time` are published in the order in which they
        were read, by their turn.
Rule 3: a deletion wins over a row read at about the same time; a row that still exists a minute
        later has come back, and is published as of when it was read.
Rule 4: likewise, a different content wins over all that was published a minute before it was read:
        a webhook may name a moment after the second of the row's time, and what was written in
        that second, and lost, would count as older. Until then the order is unknown: the content
        is published as older, once, is not assumed to be what consumers hold, and the next delta
        compares it again.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from services.ingest import values
from services.ingest.rows import Row

CONSISTENT_AFTER: Final = timedelta(minutes=1)
"""A webhook may arrive before the lists show the change."""


class Known(NamedTuple):
    """What we know of a row. `version` is the newest published by anybody, `told` the last one
    published by us, with `turn` and `digest`; null where we know the row from the log alone.
    """

    list: str
    version: int
    deleted: bool = False
    told: int | None = None
    turn: int = 0
    digest: bytes | None = None


class News(NamedTuple):
    version: int
    turn: int


def news(row: Row, known: Known | None, asked_at: datetime) -> News | None:
    if known is None:
        return News(row.version(asked_at), 0)
    if row.is_deleted:
        return None if known.deleted else _after(row, known, asked_at)
    if known.deleted:
        return _back_to_life(row, known, asked_at)
    if known.digest == row.digest:
        return None
    return _after(row, known, asked_at)


def is_last(told: News, known: Known | None) -> bool:
    """Whether consumers now hold this content and nothing else (rule 4)."""
    return known is None or told.version >= known.version


def vanished(known: Known, walk_began: datetime) -> News | None:
    """The deletion of a missing row, unless somebody published it since the walk began."""
    began = values.micros(walk_began)
    if known.deleted or (known.version > began and known.version != known.told):
        return None
    return News(max(began, (known.told or 0) + 1), 0)


def _after(row: Row, known: Known, asked_at: datetime) -> News | None:
    version = row.version(asked_at)
    if version < known.version:
        if known.version < _consistent_us(asked_at):
            version = known.version + 1
        elif known.told == version:
            return None
    return News(version, known.turn + 1 if known.told == version else 0)


def _back_to_life(row: Row, known: Known, asked_at: datetime) -> News | None:
    version = row.version(asked_at)
    if version > known.version:
        return News(version, 0)
    if _consistent_us(asked_at) > known.version:
        return News(values.micros(asked_at), 0)
    return None


def _consistent_us(asked_at: datetime) -> int:
    """What was published before this has been visible in the lists since."""
    return values.micros(asked_at - CONSISTENT_AFTER)
