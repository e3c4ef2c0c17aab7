"""How far services have read their topics, as committed to Kafka by their consumers.

Rule 1: these commits are hints, a second old or more; nothing that must be right depends on them.
Rule 2: a partition without a commit of the group does not count.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.kafka import client
from shared.kafka.offsets import Partition
from shared.settings import Settings
from shared.topics import ALL

DEADLINE_S = 2.0


class Lag(NamedTuple):
    """For one partition, or a sum: records that were read, and the number left."""

    done: int
    behind: int


Partitions = Mapping[Partition, Lag]


class GroupLags:
    """For the groups of these services. It joins none of them. Connects on first use, and again
    after failures.
    """

    def __init__(self, settings: Settings, services: Sequence[str]) -> None:
        self._settings = settings
        self._groups = {service: client.group(settings, service) for service in services}
        self._topics = {
            service: {client.physical(settings, t.name) for t in ALL if service in t.consumers}
            for service in services
        }
        self._open = AsyncExitStack()
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def look(self) -> dict[str, Partitions]:
        """By service and partition; those without commits are left out.

        Raises:
            Unavailable: Kafka is away, or denies access.
        """
        try:
            with client.errors():
                async with asyncio.timeout(DEADLINE_S):
                    return await self._look()
        except BaseException:
            await self._close()
            raise

    async def _look(self) -> dict[str, Partitions]:
        admin, consumer = await self._connected()
        told = {service: await self._told(admin, service) for service in self._groups}
        partitions = {partition for each in told.values() for partition in each}
        if not partitions:
            return {}
        ends = await consumer.end_offsets(list(partitions))
        return {service: _by_partition(each, ends) for service, each in told.items() if each}

    async def _told(self, admin: AIOKafkaAdminClient, service: str) -> dict[TopicPartition, int]:
        offsets = await admin.list_consumer_group_offsets(self._groups[service])
        return {
            partition: said.offset
            for partition, said in offsets.items()
            if partition.topic in self._topics[service]
        }

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._clients is None:
            settings = client.connection(self._settings)
            admin = AIOKafkaAdminClient(**settings)
            self._open.push_async_callback(client.ended, admin.close)
            await admin.start()
            consumer = AIOKafkaConsumer(**settings, group_id=None, enable_auto_commit=False)
            self._open.push_async_callback(client.stopped, consumer)
            await consumer.start()
            self._clients = admin, consumer
        return self._clients

    async def _close(self) -> None:
        self._clients = None
        await self._open.aclose()


def _by_partition(
    told: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> Partitions:
    return {
        Partition(*partition): Lag(offset, max(ends[partition] - offset, 0))
        for partition, offset in told.items()
    }
