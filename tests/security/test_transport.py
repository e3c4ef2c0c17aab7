"""Kafka, Postgres and Redis by TLS and with passwords: the right settings work, wrong do not."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from services.query.wire import Wire
from shared import db, migrating, topics
from shared.errors import Unavailable
from shared.kafka import client
from shared.kafka.client import ensure_topics
from shared.kafka.publisher import Publisher, Record
from shared.pipedrive.budget import Budget, Purpose
from shared.settings import Settings
from tests.security.secure import (
    KAFKA_PASSWORD,
    KAFKA_USER,
    LISTENERS,
    MUTUAL,
    Secured,
    Signed,
    secure_kafka,
    secured,
    signed,
)
from tests.support import proxy
from tests.support.infra import Infra
from tests.support.proxy import Weather

TLS_REQUEST = struct.pack(">ii", 8, 80_877_103)
"""SSLRequest, which clients of Postgres send first where they want TLS."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> Signed:
    return signed(tmp_path_factory.mktemp("signed"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: Any) -> Signed:
    """Of an authority that nobody knows."""
    return signed(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def brokers(infra: Infra, tmp_path_factory: Any, files: Signed) -> Iterator[dict[str, str]]:
    with secure_kafka(tmp_path_factory.mktemp("kafka"), files) as addresses:
        yield addresses


@pytest.fixture
async def database(database_url: str, files: Signed) -> AsyncIterator[tuple[str, Secured]]:
    """A URL where Postgres is spoken to by TLS alone."""
    found = urlsplit(database_url)
    async with secured(found.port or 5432, files, asks=TLS_REQUEST) as made:
        place = f"{found.username}:{found.password}@127.0.0.1:{made.port}"
        yield found._replace(netloc=place).geturl(), made


def told(protocol: str, address: str, files: Signed, **more: Any) -> Settings:
    return Settings(
        kafka_bootstrap_servers=address,
        kafka_security_protocol=protocol,
        kafka_sasl_username=KAFKA_USER,
        kafka_sasl_password=SecretStr(KAFKA_PASSWORD),
        kafka_ssl_cafile=files.authority,
        kafka_partitions=1,
        kafka_topic_prefix=f"{protocol.lower()}.",
        **more,
    )


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [
        ("PLAINTEXT", "PLAIN"),
        ("SASL_PLAINTEXT", "PLAIN"),
        ("SASL_PLAINTEXT", "SCRAM-SHA-256"),
        ("SSL", "PLAIN"),
        ("SASL_SSL", "PLAIN"),
        ("SASL_SSL", "SCRAM-SHA-256"),
        ("SASL_SSL", "SCRAM-SHA-512"),
        (MUTUAL, "PLAIN"),
    ],
)
async def test_what_is_published_is_read_by_each_protocol(
    brokers: dict[str, str], files: Signed, listener: str, mechanism: str
) -> None:
    settings = told(
        LISTENERS[listener],
        brokers[listener],
        files,
        kafka_sasl_mechanism=mechanism,
        kafka_ssl_certfile=files.both if listener == MUTUAL else None,
    )
    topic = topics.PERSONS

    await ensure_topics(settings, [topic])
    async with Publisher(settings, deadline_s=20) as publisher:
        await publisher.publish([Record(topic.name, b"1", b"a secret")])
        await publisher.ping()
    consumer = AIOKafkaConsumer(
        client.physical(settings, topic.name),
        **client.connection(settings),
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        assert (await consumer.getone()).value == b"a secret"
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("protocol", "change"),
    [
        ("SASL_PLAINTEXT", {"kafka_sasl_password": SecretStr("wrong")}),
        ("SASL_PLAINTEXT", {"kafka_sasl_username": "nobody"}),
        ("SASL_SSL", {"kafka_sasl_password": None}),
        (
            "SASL_SSL",
            {"kafka_sasl_mechanism": "SCRAM-SHA-256", "kafka_sasl_password": SecretStr("wrong")},
        ),
        ("SSL", {"kafka_ssl_cafile": None}),
        ("SSL", {"kafka_ssl_cafile": Path("/nowhere/authority.pem")}),
    ],
)
async def test_brokers_are_unavailable_to_wrong_settings(
    brokers: dict[str, str], files: Signed, protocol: str, change: dict[str, Any]
) -> None:
    settings = told(protocol, brokers[protocol], files).model_copy(update=change)

    with pytest.raises(Unavailable) as refused:
        await ensure_topics(settings, [topics.PERSONS])
    assert KAFKA_PASSWORD not in str(refused.value)


@pytest.mark.parametrize("shows", ["nothing", "a certificate of strangers"])
async def test_a_broker_that_asks_for_certificates_believes_its_authority_alone(
    brokers: dict[str, str], files: Signed, stranger: Signed, shows: str
) -> None:
    shown = None if shows == "nothing" else stranger.both
    settings = told("SSL", brokers[MUTUAL], files, kafka_ssl_certfile=shown)

    with pytest.raises(Unavailable):
        await ensure_topics(settings, [topics.PERSONS])


async def test_a_broker_with_a_certificate_of_strangers_is_not_believed(
    brokers: dict[str, str], stranger: Signed
) -> None:
    with pytest.raises(Unavailable):
        await ensure_topics(told("SSL", brokers["SSL"], stranger), [topics.PERSONS])


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_postgres_is_spoken_to_by_tls(
    database: tuple[str, Secured], files: Signed, tmp_path: Path, mode: str
) -> None:
    url, made = database
    dsn = f"{url}?sslmode={mode}"
    if mode.startswith("verify"):
        dsn += f"&sslrootcert={files.authority}"
    (tmp_path / "0001_made.sql").write_text("CREATE TABLE made (n int);")

    await migrating.migrate(dsn, "by_tls", [tmp_path])
    async with db.pool(dsn, "by_tls", size=1) as pool:
        await db.ping(pool)
        assert await pool.fetchval("SELECT count(*) FROM made") == 0
    conn = await db.connect(dsn, "by_tls")
    await conn.close()

    assert made.connections >= 3


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_postgres_with_a_certificate_of_strangers_is_not_believed(
    database: tuple[str, Secured], stranger: Signed, mode: str
) -> None:
    dsn = f"{database[0]}?sslmode={mode}&sslrootcert={stranger.authority}"

    with pytest.raises(Unavailable):
        await db.connect(dsn, "public")


async def test_a_postgres_that_cannot_do_tls_is_not_spoken_to_where_it_must(
    database_url: str,
) -> None:
    with pytest.raises(Unavailable):
        await db.connect(f"{database_url}?sslmode=require", "public")


@pytest.fixture
async def secure_redis(redis_url: str, files: Signed) -> AsyncIterator[str]:
    found = urlsplit(redis_url)
    async with secured(found.port or 6379, files) as made:
        yield f"rediss://127.0.0.1:{made.port}{found.path}"


async def test_redis_is_spoken_to_by_tls(secure_redis: str, files: Signed) -> None:
    url = f"{secure_redis}?ssl_ca_certs={files.authority}"
    async with Wire(url) as wire, Budget(url) as budget:
        await wire.call("SET", "key", "value")
        await budget.take(7, 20, Purpose.INTERACTIVE)

        assert await wire.call("GET", "key") == b"value"
        assert (await budget.usage(7)).used == 20


async def test_a_redis_that_falls_silent_does_not_hold_up_those_who_stop(
    secure_redis: str, files: Signed
) -> None:
    """By TLS a connection is closed by both ends, and one of them does not answer."""
    async with proxy.before(secure_redis) as link:
        url = f"{proxy.through(secure_redis, link)}?ssl_ca_certs={files.authority}"
        async with asyncio.timeout(20) as late, Wire(url) as wire, Budget(url) as budget:
            await wire.call("SET", "key", "value")
            await budget.take(7, 20, Purpose.INTERACTIVE)
            await link.turn(Weather.HALF_OPEN)
            late.reschedule(asyncio.get_running_loop().time() + 5)


async def test_a_redis_with_a_certificate_of_strangers_is_not_believed(
    secure_redis: str, stranger: Signed
) -> None:
    for query in ("", f"?ssl_ca_certs={stranger.authority}"):
        async with Wire(secure_redis + query) as wire:
            with pytest.raises(Unavailable):
                await wire.call("GET", "key")
