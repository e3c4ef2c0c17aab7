"""Reads the log of topics with a model: see `shared.kafka.scanning`."""

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
    """All records, in order within each partition.

    Raises:
        Unavailable: Kafka is away, or stopped answering.
    """
    known = {topic.name: topic for topic in topics}
    async with aclosing(scan(settings, known.keys())) as stretches:
        async for found in stretches:
            records = [Logged(known[r.topic], r.key or b"", r.value) for r in found.records]
            yield Stretch(records, found.done, found.total)
