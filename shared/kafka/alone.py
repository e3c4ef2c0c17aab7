"""Who does what only one may do at a time, and by hand, such as replaying dead letters.

Rule: whoever finds itself the only member of a group, after joining it, is alone until it leaves:
      whoever joins later finds two. Of those that join at the same moment none may be alone. A
      member that was killed, or suspended, leaves the group after ten seconds, and whoever joins
      waits for that.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from shared.errors import Unavailable
from shared.kafka import client
from shared.settings import Settings

JOIN_S: Final = 60.0
"""Kafka lets nobody in before all other members have answered, or are dropped."""
A_DAY_MS: Final = 86_400_000


@asynccontextmanager
async def alone(settings: Settings, doing: str, topic: str) -> AsyncIterator[bool]:
    """Whether nobody else is in here. `doing` names the group; `topic` must exist, and none of its
    records is read.

    Raises:
        Unavailable: Kafka is away.
    """
    group = client.group(settings, doing)
    consumer = AIOKafkaConsumer(
        client.physical(settings, topic),
        **client.connection(settings),
        group_id=group,
        enable_auto_commit=False,
        max_poll_interval_ms=A_DAY_MS,
    )
    try:
        with client.errors():
            async with asyncio.timeout(JOIN_S):
                await consumer.start()
        members = await _members(settings, group)
        yield members == 1
    finally:
        await client.stopped(consumer)


async def _members(settings: Settings, group: str) -> int:
    admin = AIOKafkaAdminClient(**client.connection(settings))
    try:
        with client.errors():
            async with asyncio.timeout(client.DEADLINE_S):
                await admin.start()
                [told] = await admin.describe_consumer_groups([group])
    finally:
        await client.ended(admin.close)
    described: Any = told
    [(code, _, _, _, _, members, *_)] = described.groups
    if code:
        raise Unavailable(f"Kafka: the group {group} is unknown: {for_code(code).__name__}")
    return len(members)
