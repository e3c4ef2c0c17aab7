"""Last-writer-wins rows whose final state does not depend on the order of arrival. Pure.

Rule 1: writes are ordered by their stamp: version, then create < change < delete, then event id.
Rule 2: the newest write decides whether the row lives.
Rule 3: each field has the value of the newest write that carried it; a write says nothing about
        a field that it does not carry.
Rule 4: applying is idempotent, commutative and associative, so duplicated, delayed and reordered
        writes end in the same row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Stamp(NamedTuple):
    """Orders all writes of one entity."""

    version: int
    rank: int
    event_id: str


NEVER = Stamp(0, 0, "")


@dataclass(frozen=True, slots=True)
class Write:
    stamp: Stamp
    deleted: bool
    carried: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Register:
    """A row: its newest stamp and, for each field that the newest write did not carry, its own."""

    stamp: Stamp
    deleted: bool
    fields: Mapping[str, Any]
    lag: Mapping[str, Stamp]


def empty(names: Sequence[str]) -> Register:
    """A row without writes: every field null, older than any write, not alive."""
    return Register(NEVER, True, dict.fromkeys(names), {})


def apply(row: Register, write: Write) -> Register:
    """The row after one more write, wherever in the order it belongs; carried names that are not
    fields of the row are ignored.
    """
    if write.stamp == row.stamp:
        return row
    newest = max(write.stamp, row.stamp)
    fields = dict(row.fields)
    lag: dict[str, Stamp] = {}
    for name in fields:
        held = row.lag.get(name, row.stamp)
        if name in write.carried and write.stamp > held:
            fields[name] = write.carried[name]
            held = write.stamp
        if held != newest:
            lag[name] = held
    deleted = write.deleted if write.stamp == newest else row.deleted
    return Register(newest, deleted, fields, lag)


def encode_lag(lag: Mapping[str, Stamp]) -> dict[str, list[Any]] | None:
    """The JSON form kept in a row; null when every field is as new as the row."""
    return {name: list(stamp) for name, stamp in lag.items()} or None


def decode_lag(stored: Mapping[str, Sequence[Any]] | None) -> dict[str, Stamp]:
    return {name: Stamp(*stamp) for name, stamp in (stored or {}).items()}
