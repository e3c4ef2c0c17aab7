"""Publishes in turn with others: of those that write the same keys, only the latest is let in.

Rule 1: Kafka itself refuses whoever was replaced, however late its records arrive. All share a
        transactional id; whoever takes over gets its producer id with a higher epoch, and a
        partition that has records of one epoch takes none of an earlier one.
Rule 2: what is published was read after taking over, and by who may still do so: only `take_over`
        starts a producer, publishing never does.

There are no transactions. Each would cost three more requests, and in each partition a marker that
counts in offsets and lags; the epoch is checked without one.
"""

import asyncio
import math
import time
from typing import Final

from aiokafka import AIOKafkaProducer

from shared.errors import Unavailable
from shared.kafka.client import errors, group
from shared.kafka.publisher import Publisher
from shared.settings import Settings

EPOCH_S: Final = 86_400.0
"""How long one is used. Kafka forgets a transactional id after a week (with its default
`transactional.id.expiration.ms`), and whoever took over after that would replace nobody.
"""


class FencedPublisher(Publisher):
    """One of those that write what `writes` names, such as a store. Publishes, from `take_over`
    until a failure, another's `take_over`, or `resign`; otherwise it is `Unavailable`.
    """

    def __init__(self, settings: Settings, writes: str, *, deadline_s: float) -> None:
        super().__init__(settings, deadline_s=deadline_s)
        self._transactional_id = group(settings, writes)
        self._lasts_until = -math.inf

    @property
    def has_taken_over(self) -> bool:
        """False from the first failure on, and once a day."""
        return self._producer is not None and time.monotonic() < self._lasts_until

    async def take_over(self) -> None:
        """Have Kafka refuse whatever others, or this one until now, have sent and it lacks.

        Raises:
            Unavailable: Kafka is away, or has no coordinator for the transactional id.
        """
        self.resign()
        with errors():
            try:
                async with asyncio.timeout(self._deadline_s):
                    producer = await self._start(self._transactional_id)
            except TimeoutError:
                said = f"no epoch in time for the transactional id {self._transactional_id}"
                raise Unavailable(f"Kafka: {said}") from None
        # The producer id and its epoch are all that was needed: from here on it is an idempotent
        # producer, and takes records outside a transaction.
        producer._txn_manager.transactional_id = None  # noqa: SLF001
        self._lasts_until = time.monotonic() + EPOCH_S

    def resign(self) -> None:
        """Drop what has not been sent, and publish nothing until the next `take_over`."""
        self._give_up()

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("Kafka: another may publish by now")
        return self._producer
