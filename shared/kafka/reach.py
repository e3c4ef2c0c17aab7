"""Whether Kafka answers others but not this consumer.

A client learns at its start where the brokers are, and which authority signs their certificates.
While it reaches one of them it learns of changes; but if all have moved, or have certificates of
another authority, it never asks the bootstrap servers again, or reads the certificate files again.
"""

import math
import time
from collections.abc import Iterable

from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.topics import Topic


class Reach:
    """For a consumer of these topics. The publisher stands for the others: if it fails, it is
    replaced, and so finds brokers that have moved.
    """

    def __init__(self, publisher: Publisher, topics: Iterable[Topic]) -> None:
        self._publisher = publisher
        self._topics = frozenset(topic.name for topic in topics)
        self._lost_at = math.inf

    def is_there(self) -> None:
        """Note that the consumer got an answer."""
        self._lost_at = math.inf

    async def lost_s(self) -> float:
        """Note that the consumer got no answer; returns for how many seconds others have got one
        meanwhile. 0 if they get none either, or if a partition has no leader or too few in-sync
        replicas: then the fault is not the consumer's own.
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
