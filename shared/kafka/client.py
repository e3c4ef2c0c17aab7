"""What all our Kafka clients share: connection settings, errors, topics."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from shared.errors import Unavailable
from shared.settings import Settings
from shared.topics import Topic, dead_letters_of

log = logging.getLogger(__name__)

DEADLINE_S = 10.0
TOPIC_EXISTS = 36
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A webhook of the largest size we take, wrapped, with room to spare."""


@contextmanager
def errors() -> Iterator[None]:
    """Kafka's trouble is an outage to us: a topic, a leader or the cluster is away for now."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka: {type(error).__name__}: {error}") from error


def connection(settings: Settings) -> dict[str, Any]:
    return {"bootstrap_servers": settings.kafka_bootstrap_servers}


def physical(settings: Settings, topic: str) -> str:
    """The topic's name in this cluster."""
    return settings.kafka_topic_prefix + topic


def _new_topics(
    settings: Settings, topics: Iterable[Topic], origins: Iterable[str]
) -> list[NewTopic]:
    log_of_record = {"retention.ms": str(settings.kafka_retention_ms)}
    compacted = {"cleanup.policy": "compact"}
    configs = {dead_letters_of(origin): log_of_record for origin in origins}
    for topic in topics:
        configs[topic.name] = compacted if topic.compacted else log_of_record
        configs[dead_letters_of(topic.name)] = log_of_record
    return [
        NewTopic(
            name=physical(settings, name),
            num_partitions=settings.kafka_partitions,
            replication_factor=settings.kafka_replication_factor,
            topic_configs={"max.message.bytes": str(MAX_MESSAGE_BYTES), **config},
        )
        for name, config in configs.items()
    ]


async def ensure_topics(
    settings: Settings, topics: Iterable[Topic], origins: Iterable[str] = ()
) -> None:
    """Create the topics that are missing, each with its dead letters; leave the others alone.

    Of `origins`, which are no topics, only the dead letters are created.

    Raises:
        Unavailable: Kafka is away, or refuses.
    """
    with errors():
        async with asyncio.timeout(3 * DEADLINE_S):
            admin = AIOKafkaAdminClient(**connection(settings))
            try:
                await admin.start()
                present = set(await admin.list_topics())
                wanted = _new_topics(settings, topics, origins)
                missing = [topic for topic in wanted if topic.name not in present]
                if missing:
                    response: Any = await admin.create_topics(missing)
                    _check(response.topic_errors)
            finally:
                await admin.close()


def _check(topic_errors: Iterable[tuple[Any, ...]]) -> None:
    for name, code, *_ in topic_errors:
        if code not in (0, TOPIC_EXISTS):  # another instance may have been quicker
            raise Unavailable(f"Kafka: topic {name}: {for_code(code).__name__}")
