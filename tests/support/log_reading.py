"""Reads what stands in the log, and what becomes of each entity by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

Event = dict[str, Any]
Record = ConsumerRecord[Any, Any]
RANK = {"create": 0, "change": 1, "delete": 2}


@dataclass
class Log:
    """The events of some topics, as far as they have been read."""

    servers: str
    prefix: str
    events: list[Event] = field(default_factory=list)

    async def read(self, *topics: str) -> list[Event]:
        """All events that stand in the topics by now, in the order of the partitions."""
        self.events = [orjson.loads(each.value) for each in await self.records(*topics)]
        return self.events

    async def records(self, *topics: str) -> list[Record]:
        """The same as they stand there, whatever they are."""
        names = [self.prefix + topic for topic in topics]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [
                TopicPartition(name, number)
                for name in names
                for number in consumer.partitions_for_topic(name)
                or await consumer._client._wait_on_metadata(name)
            ]
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            found: list[Record] = []
            while any([await consumer.position(each) < end for each, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
        finally:
            await consumer.stop()
        return found


def newest(events: list[Event], entity: str) -> dict[str, Event]:
    """The event that decides whether an entity lives, by entity id."""
    found: dict[str, Event] = {}
    for event in events:
        if event["entity"] != entity:
            continue
        held = found.get(event["entity_id"])
        if held is None or stamp(held) < stamp(event):
            found[event["entity_id"]] = event
    return found


def living(events: list[Event], entity: str) -> Mapping[str, Event]:
    return {
        number: event
        for number, event in newest(events, entity).items()
        if event["action"] != "delete"
    }


def stamp(event: Event) -> tuple[int, int, str]:
    return event["version"], RANK[event["action"]], event["event_id"]
