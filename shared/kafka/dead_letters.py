"""Dead-letters poison, with everything needed to inspect and replay it.

Rule: a dead letter is acked by Kafka before the offset passes its record. A crash in between
leaves it twice, recognizable by its origin.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from shared import topics
from shared.kafka.publisher import Publisher, Record
from shared.observability import DEAD_LETTERS

REASON_CHARS = 2_000
ATTEMPTS = "attempts"
"""Header of a replayed record, and of its letter: how often it failed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record came from. An unreadable webhook only has a topic.

    `attempts` counts earlier ones, `reader` is the consumer group that could not read it.
    """

    topic: str
    partition: int | None = None
    offset: int | None = None
    attempts: int = 0
    reader: str | None = None


def attempts(headers: Iterable[tuple[str, bytes]]) -> int:
    """How often the record with these headers has failed."""
    for name, told in headers:
        if name == ATTEMPTS and told.isdigit():
            return int(told)
    return 0


def letter(
    origin: Origin, *, key: bytes | None, value: bytes, reason: str, now: datetime
) -> Record:
    """The record's own key and bytes; what happened to it is in the headers, as text."""
    headers = {"topic": origin.topic, "reason": reason[:REASON_CHARS], "time": now.isoformat()}
    if origin.offset is not None:
        headers |= {"partition": str(origin.partition), "offset": str(origin.offset)}
    headers[ATTEMPTS] = str(origin.attempts + 1)
    if origin.reader is not None:
        headers["reader"] = origin.reader
    encoded = [(name, text.encode(errors="replace")) for name, text in headers.items()]
    return Record(topics.dead_letters_of(origin.topic), key, value, encoded)


async def put_aside(publisher: Publisher, letters: list[Record]) -> None:
    """Raises:
    Unavailable: Kafka did not ack; the offset must not move.
    """
    await publisher.publish(letters)
    for each in letters:
        DEAD_LETTERS.labels(each.topic.removesuffix(topics.DEAD_LETTERS)).inc()


@dataclass(slots=True)
class Limit:
    """Stops the consumer when poison is no longer the exception: a bad deploy must not drain a
    topic. Replayed records drain nothing, even if still poison, and are not to be counted.

    Once stopped, it stays so until the process is restarted.
    """

    letters: int
    window_s: float = 300.0
    ratio: float = 0.1
    stopped: bool = False
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)
    _records: int = 0
    _dead: int = 0

    def left(self, *, now: float) -> int:
        """So many letters may be written before the next check. At least one: a stopped consumer
        stops before that one.
        """
        self._forget(now)
        return max(1, math.ceil(max(self.letters, self.ratio * self._records)) - self._dead)

    def record(self, *, records: int, dead: int, now: float) -> None:
        """Count a batch. `now` in seconds of any monotonic clock."""
        self._seen.append((now, records, dead))
        self._records += records
        self._dead += dead
        self._forget(now)
        if self._dead >= self.letters and self._dead >= self.ratio * self._records:
            self.stopped = True

    def _forget(self, now: float) -> None:
        while self._seen and self._seen[0][0] < now - self.window_s:
            _, old_records, old_dead = self._seen.popleft()
            self._records -= old_records
            self._dead -= old_dead
