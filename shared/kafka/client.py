"""What all our Kafka clients share: connection settings, errors, topics."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, KafkaTimeoutError, ProducerClosed, for_code

from shared import lifecycle
from shared.errors import Unavailable
from shared.kafka import lost
from shared.settings import Settings
from shared.topics import DEAD_LETTERS, Topic, dead_letters_of

log = logging.getLogger(__name__)
lost.expect()

DEADLINE_S = 10.0
LOOK_S = 0.05
TOPIC_EXISTS = 36
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A webhook of the maximum size, wrapped, with room to spare."""
LETTER_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
"""The largest record with its letter's headers, and with what a replay adds."""

NO_BROKER = "Did we not perform bootstrap?"
"""The client asserts that it knows a broker when it looks for a coordinator; a server that has
just started may answer without naming any.
"""
COPIES_OF_ACKED = 2
"""Minimum number of brokers that have an acked record, if its topic has as many replicas. Kafka's
default is one: acks=all means all in-sync replicas, and that may be the leader alone.
"""


class Late(Unavailable):
    """The outcome is unknown: it may have taken effect."""


@contextmanager
def errors() -> Iterator[None]:
    """Kafka's failures count as outages: a topic, a leader or the cluster is away for now."""
    try:
        yield
    except (TimeoutError, KafkaTimeoutError, ProducerClosed) as error:
        raise Late("Kafka: no answer in time") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka: {type(error).__name__}: {error}") from error
    except AssertionError as error:
        if str(error) != NO_BROKER:
            raise
        raise Unavailable("Kafka: the cluster names no broker yet") from error


async def ended(end: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Close a client within a deadline; returns what went wrong, if anything. By itself closing
    may wait for ever, and if its connection has just broken it raises the cancellation of its own
    task: it would look as if the caller was cancelled.
    """
    try:
        async with asyncio.timeout(DEADLINE_S):
            await end()
    except (KafkaError, OSError, TimeoutError) as error:
        return error
    except asyncio.CancelledError as error:
        if lifecycle.is_cancelled():
            raise
        return error
    return None


async def stopped(consumer: AIOKafkaConsumer) -> BaseException | None:
    """As `ended`. If a consumer's own stop fails, for example because a broker is silent or one of
    its tasks has just failed, it would keep sending requests and keep its connections open. So
    what that stop left running is ended here.
    """
    error = await ended(consumer.stop)
    if error is not None:
        for each in _ends(consumer):
            await ended(each)
    return error


def _ends(consumer: Any) -> Iterator[Callable[[], Awaitable[None]]]:
    """The steps of a consumer's own stop, in the same order, except leaving the group."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001
    if isinstance(coordinator, GroupCoordinator):
        yield coordinator._stop_heartbeat_task  # noqa: SLF001
        yield coordinator._stop_commit_offsets_refresh_task  # noqa: SLF001
    if fetcher is not None:
        yield fetcher.close
    yield consumer._client.close  # noqa: SLF001


def connection(settings: Settings) -> dict[str, Any]:
    """The brokers and how to talk to them; their certificates must match their names."""
    protocol = settings.kafka_security_protocol
    found: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        secret = settings.kafka_sasl_password
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": secret.get_secret_value() if secret else "",
        }
    if protocol.endswith("SSL"):
        with errors():
            found["ssl_context"] = _tls(settings)
    return found


def _tls(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
    if settings.kafka_ssl_certfile is not None:
        context.load_cert_chain(settings.kafka_ssl_certfile)
    return context


def physical(settings: Settings, topic: str) -> str:
    """The topic's name in this cluster."""
    return settings.kafka_topic_prefix + topic


def ours(settings: Settings, names: Iterable[str]) -> frozenset[str]:
    """Of the cluster's topics those under our prefix, by their names in the contract."""
    prefix = settings.kafka_topic_prefix
    return frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def lacking(settings: Settings, wanted: Iterable[Topic], there: Collection[str]) -> str:
    """An error message if some are missing; else empty. `there` is as returned by `ours`."""
    names = sorted({topic.name for topic in wanted}.difference(there))
    return absent(physical(settings, name) for name in names) if names else ""


def absent(names: Iterable[str]) -> str:
    """An error message for topics that the cluster does not have."""
    return f"Kafka: there is no topic {', '.join(names)}"


def group(settings: Settings, service: str) -> str:
    """The name of the service's consumer group."""
    return f"{settings.kafka_group_prefix}.{service}"


def new_topics(
    settings: Settings, topics: Iterable[Topic], origins: Iterable[str]
) -> list[NewTopic]:
    log_of_record = {"retention.ms": str(settings.kafka_retention_ms)}
    compacted = {"cleanup.policy": "compact"}
    kept = {"retention.ms": "-1"}  # a letter is kept until somebody decides
    configs = {dead_letters_of(origin): kept for origin in origins}
    for topic in topics:
        configs[topic.name] = compacted if topic.compacted else log_of_record
        configs[dead_letters_of(topic.name)] = kept
    return [_new_topic(settings, name, config) for name, config in configs.items()]


def _new_topic(settings: Settings, name: str, config: Mapping[str, str]) -> NewTopic:
    largest = LETTER_BYTES if name.endswith(DEAD_LETTERS) else MAX_MESSAGE_BYTES
    copies = settings.kafka_replication_factor
    own = {
        "max.message.bytes": str(largest),
        "min.insync.replicas": str(min(COPIES_OF_ACKED, copies)),
    }
    return NewTopic(
        name=physical(settings, name),
        num_partitions=settings.kafka_partitions,
        replication_factor=copies,
        topic_configs={**own, **config},
    )


async def ensure_topics(
    settings: Settings,
    topics: Iterable[Topic],
    origins: Iterable[str] = (),
    *,
    stop: asyncio.Event | None = None,
) -> None:
    """Create the topics that are missing, each with its dead letters; leave the others alone.

    Of `origins`, which are not topics, only the dead-letter topics are created. At a stop what is
    under way is left undone.

    Raises:
        Unavailable: Kafka is away, or refuses.
    """
    await _ensure(settings, new_topics(settings, topics, origins), stop or asyncio.Event())


async def ensure_compacted(settings: Settings, name: str) -> None:
    """Create a topic that has no dead letters, unless it exists.

    Raises:
        Unavailable: Kafka is away, or refuses.
    """
    wanted = [_new_topic(settings, name, {"cleanup.policy": "compact"})]
    await _ensure(settings, wanted, asyncio.Event())


async def _ensure(settings: Settings, wanted: Sequence[NewTopic], stop: asyncio.Event) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        with errors():
            async with asyncio.timeout(3 * DEADLINE_S):
                await lifecycle.unless_stopped(_create(admin, wanted), stop)
    finally:
        await ended(admin.close)


async def _create(admin: AIOKafkaAdminClient, wanted: Sequence[NewTopic]) -> None:
    # It tries one bootstrap server after the other, in random order, each for 40 s.
    async with asyncio.timeout(DEADLINE_S):
        await admin.start()
    present = set(await admin.list_topics())
    missing = [topic for topic in wanted if topic.name not in present]
    if missing:
        response: Any = await admin.create_topics(missing)
        _check(response.topic_errors)
        await _become_known(admin, {topic.name for topic in missing})


async def _become_known(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Wait until the new topics are listed: the next broker asked may not know them yet."""
    while not names <= set(await admin.list_topics()):  # noqa: ASYNC110  Kafka tells nobody
        await asyncio.sleep(LOOK_S)


def _check(topic_errors: Iterable[tuple[Any, ...]]) -> None:
    for name, code, *said in topic_errors:
        if code not in (0, TOPIC_EXISTS):  # another instance may have been faster
            reason = next(filter(None, said), for_code(code).__name__)
            raise Unavailable(f"Kafka: topic {name} cannot be made: {reason}")
