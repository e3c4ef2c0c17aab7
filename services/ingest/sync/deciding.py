"""Whether a row that was read is news, and as what it is told. Pure.

Rule 1: a row that says what we told last is no news.
Rule 2: contents that a row had under one `update_time` are told in the order in which they were
        read, by their turn.
Rule 3: a deletion is believed against a row read at about the same time; a row that still lives
        a minute later has come back, and says so as of when it was read.
Rule 4: so does another content come after all that was told a minute before it was read: a
        webhook may name a moment after the second of the row's time, and what was written in that
        second, and lost, would count as older. Until then nobody knows which came last: it is
        told as older, once, is not taken to be what others hold, and the next delta compares it
        again.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from services.ingest import values
from services.ingest.rows import Row

CONSISTENT_AFTER: Final = timedelta(minutes=1)
"""A webhook may arrive before the lists show what it tells."""


class Known(NamedTuple):
    """What we know of a row. `version` is the newest anybody told, `told` the one that we told
    last, with `turn` and `digest`; null where we know of the row from the log alone.
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
    """Whether others hold what was told, and nothing that came before it (rule 4)."""
    return known is None or told.version >= known.version


def vanished(known: Known, walk_began: datetime) -> News | None:
    """What a row says by being there no more, if nobody has told of it since the walk began."""
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
    """What was told before this the lists have shown since."""
    return values.micros(asked_at - CONSISTENT_AFTER)
