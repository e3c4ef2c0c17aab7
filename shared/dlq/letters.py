"""Dead letters as values: their content, and their selection. Pure.

Rule: a letter is named by its place in the log, so its name is the same for everyone, for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from shared.topics import DEAD_LETTERS

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Letter:
    """`topic`, `partition` and `offset` are those of the unreadable record; a webhook only has a
    topic. `state` is null while nothing has been decided.
    """

    name: str
    topic: str
    partition: int | None
    offset: int | None
    key: bytes | None
    value: bytes
    reason: str
    time: datetime
    attempts: int
    reader: str | None
    state: str | None = None

    @property
    def box(self) -> str:
        """The origin whose dead letters it is among."""
        return origin_of(self.name)

    @property
    def company(self) -> str:
        return (self.key or b"").partition(b":")[0].decode(errors="replace")

    @property
    def record(self) -> tuple[object, ...]:
        """Equal for all letters about one record: each of its consumers writes one."""
        if self.offset is None:
            return (self.name,)
        return (self.topic, self.partition, self.offset)

    def summary(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "time": self.time.isoformat(),
            "key": _text(self.key),
            "attempts": self.attempts,
            "state": self.state or "open",
            "reader": self.reader,
            "origin": {"topic": self.topic, "partition": self.partition, "offset": self.offset},
            "reason": self.reason,
        }

    def whole(self) -> dict[str, Any]:
        return self.summary() | {"value": _value(self.value)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are selected; null or empty fields match everything."""

    names: frozenset[str] = frozenset()
    topic: str | None = None
    reason_contains: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    company: str | None = None
    key: str | None = None
    settled: bool = False

    def has(self, letter: Letter) -> bool:
        return all(
            (
                self.settled or letter.state is None,
                not self.names or letter.name in self.names,
                self.topic in (None, letter.topic),
                (self.reason_contains or "").lower() in letter.reason.lower(),
                self.since is None or letter.time >= self.since,
                self.until is None or letter.time < self.until,
                self.company in (None, letter.company),
                self.key in (None, _text(letter.key)),
            )
        )

    @property
    def is_everything(self) -> bool:
        return self == Wanted(settled=self.settled)

    @property
    def nothing(self) -> str:
        """The message if no letter is found."""
        which = "dead letter" if self.settled else "open dead letter"
        return f"there is no {which}" + ("" if self.is_everything else " that matches")


def read(
    topic: str,
    place: tuple[int, int],
    record: tuple[bytes | None, bytes],
    headers: Sequence[tuple[str, bytes]],
) -> Letter:
    """The letter in a record of a dead-letter topic, at partition and offset."""
    told = {name: text.decode(errors="replace") for name, text in headers}
    return Letter(
        name=f"{origin(topic)}:{place[0]}:{place[1]}",
        topic=told.get("topic", origin(topic)),
        partition=_number(told.get("partition")),
        offset=_number(told.get("offset")),
        key=record[0],
        value=record[1],
        reason=told.get("reason", ""),
        time=_instant(told.get("time", "")),
        attempts=_number(told.get("attempts")) or 1,
        reader=told.get("reader"),
    )


def origin_of(name: str) -> str:
    return name.rsplit(":", 2)[0]


def origin(topic: str) -> str:
    """The topic whose dead letters are meant, also by the name of the topic that holds them."""
    return topic.removesuffix(DEAD_LETTERS)


def name(text: str) -> str:
    """A letter's name, `TOPIC:PARTITION:OFFSET`, of either topic.

    Raises:
        ValueError: the text does not have its form.
    """
    topic, *place = text.rsplit(":", 2)
    of = origin(topic)
    if not of or len(place) != 2 or not all(map(str.isdecimal, place)):  # noqa: PLR2004
        raise ValueError("not TOPIC:PARTITION:OFFSET")
    return ":".join((of, *place))


def instant(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC.

    Raises:
        ValueError: it is not.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _instant(text: str) -> datetime:
    try:
        return instant(text)
    except ValueError:
        return EARLIEST


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="backslashreplace")


def _value(content: bytes) -> Any:
    """As JSON if it is JSON, and not nested too deep to be written again."""
    try:
        found = orjson.loads(content)
        orjson.dumps([found, found])  # it will be nested in an object
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return _text(content)
    return found
