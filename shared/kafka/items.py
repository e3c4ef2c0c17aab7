"""A record on its way to a store: its fact, or the reason why it has none."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiokafka import ConsumerRecord

from shared import events
from shared.errors import Poison
from shared.kafka import dead_letters
from shared.kafka.offsets import Partition
from shared.kafka.publisher import Record
from shared.topics import Topic

PassesOver = Callable[[bytes], bool]
"""Whether a record can be skipped, judging by its bytes."""


@dataclass(frozen=True, slots=True)
class Item:
    """`topic` is the name in the contract; `outcome` is null if the record is skipped."""

    partition: Partition
    offset: int
    topic: str
    key: bytes | None
    value: bytes
    attempts: int
    outcome: events.Fact | Poison | None

    @property
    def place(self) -> tuple[Partition, int]:
        return self.partition, self.offset

    @property
    def is_fresh_poison(self) -> bool:
        return isinstance(self.outcome, Poison) and not self.attempts

    def letter(self, *, reader: str, now: datetime) -> Record:
        """`reader` is the consumer group."""
        origin = dead_letters.Origin(
            self.topic,
            self.partition.number,
            self.offset,
            attempts=self.attempts,
            reader=reader,
        )
        return dead_letters.letter(
            origin, key=self.key, value=self.value, reason=str(self.outcome), now=now
        )


def read(
    partition: Partition,
    topic: Topic,
    record: ConsumerRecord[bytes, bytes],
    passes_over: PassesOver | None,
) -> Item:
    value = record.value or b""
    outcome: events.Fact | Poison | None = None
    if passes_over is None or not passes_over(value):
        try:
            outcome = events.parse(topic.model, record.value)
        except Poison as poison:
            outcome = poison
    return Item(
        partition,
        record.offset,
        topic.name,
        record.key,
        value,
        dead_letters.attempts(record.headers),
        outcome,
    )
