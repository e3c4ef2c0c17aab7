"""Fills a batch fairly when more is waiting than fits.

By itself the client returns all that it has of one partition, thousands of records, before it
starts with the next; a new record in an otherwise empty partition would wait for all of these.

Rule: each partition contributes as many records as the others, or all it has; what those with
      fewer leave over is shared by the rest.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


async def share(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], room: int
) -> Mapping[TopicPartition, list[Any]]:
    """From what has been fetched already; if this raises, what was taken until then is lost to
    this consumer.
    """
    found: defaultdict[TopicPartition, list[Any]] = defaultdict(list)
    # With fewer slots than partitions, it must not always be the same that wait.
    waiting = random.sample(partitions, len(partitions))
    while room and waiting:
        most = max(room // len(waiting), 1)
        fuller: list[TopicPartition] = []
        for partition in waiting[:room]:
            taken = await consumer.getmany(partition, max_records=most)
            for records in taken.values():
                found[partition] += records
                room -= len(records)
                if len(records) == most:
                    fuller.append(partition)
        waiting = fuller
    return found
