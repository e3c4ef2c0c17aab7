"""Whether Kafka answers others while it does not answer a consumer.

A client learns at its start where the brokers are, and by which authority they prove it. While it
reaches one of them it hears of changes; but if all have moved, or show certificates of another
authority, it never asks at the bootstrap servers again, nor reads the files of certificates.
"""

import math
import time
from collections.abc import Iterable

from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.topics import Topic


class Reach:
    """Of a consumer of these topics. The publisher is built anew where it fails."""

    def __init__(self, publisher: Publisher, topics: Iterable[Topic]) -> None:
        self._publisher = publisher
        self._topics = frozenset(topic.name for topic in topics)
        self._lost_at = math.inf

    def is_there(self) -> None:
        """The consumer was answered."""
        self._lost_at = math.inf

    async def lost_s(self) -> float:
        """The consumer was not: for how many seconds others have been meanwhile. None where they
        are not either, or know of a partition without a leader: then it is not the consumer's own
        trouble.
        """
        began = time.monotonic()
        if not await self._is_sound():
            self._lost_at = math.inf
            return 0.0
        self._lost_at = min(self._lost_at, began)
        return began - self._lost_at

    async def _is_sound(self) -> bool:
        try:
            view = await self._publisher.view()
        except Unavailable:
            return False
        return self._topics.isdisjoint(each.topic for each in view.ailing)
