"""A batch when more waits than a batch holds.

By itself the client hands out all that it has of one partition, thousands of records, before it
begins with the next; and whoever's record comes meanwhile, in a partition in which nothing else
waits, stands behind all of these.

Rule: each partition gives as many records as another, or all it has; the room that is left by
      those that have fewer is shared by the rest.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


async def share(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], room: int
) -> Mapping[TopicPartition, list[Any]]:
    """Of what has been fetched already; whatever is raised, what was taken until then is lost to
    this consumer.
    """
    found: defaultdict[TopicPartition, list[Any]] = defaultdict(list)
    # Where there is less room than there are partitions, it is not always the same that wait.
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
