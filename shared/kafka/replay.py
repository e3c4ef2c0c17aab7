"""Reads the log of topics that we have a model for: see `shared.kafka.scanning`."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import NamedTuple

from shared.kafka.scanning import Stretch, scan
from shared.settings import Settings
from shared.topics import Topic


class Logged(NamedTuple):
    topic: Topic
    key: bytes
    value: bytes


async def replay(settings: Settings, topics: Iterable[Topic]) -> AsyncIterator[Stretch[Logged]]:
    """All records; of each partition in its order.

    Raises:
        Unavailable: Kafka is away, or answers no more.
    """
    known = {topic.name: topic for topic in topics}
    async with aclosing(scan(settings, known.keys())) as stretches:
        async for found in stretches:
            records = [Logged(known[r.topic], r.key or b"", r.value) for r in found.records]
            yield Stretch(records, found.done, found.total)
