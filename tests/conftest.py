"""Fixtures that two or more folders use."""

import itertools
import secrets
from collections.abc import Iterator

import pytest
from redis import Redis

from devstack import postgres
from tests.support import infra as servers
from tests.support.infra import Infra

_redis_turns = itertools.count()


@pytest.fixture(scope="session")
def infra() -> Iterator[Infra]:
    with servers.servers() as running:
        yield running


@pytest.fixture(scope="session")
def killable(infra: Infra) -> Iterator[Infra]:
    """Servers that a test may kill and start again; it leaves them running."""
    if infra.can_kill:
        yield infra
        return
    with servers.own_servers() as own:
        yield own


@pytest.fixture
def database_url(infra: Infra) -> Iterator[str]:
    """A new, empty database."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.ask(infra.urls.database, f"CREATE DATABASE {name}")
    yield servers.on_database(infra.urls.database, name)
    postgres.ask(infra.urls.database, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(infra: Infra) -> str:
    """A logical database that no other test of this session uses at the same time, empty."""
    with Redis.from_url(infra.urls.redis) as client:
        databases = int(client.config_get("databases")["databases"])
    number = 1 + next(_redis_turns) % (databases - 1)
    url = servers.on_database(infra.urls.redis, str(number))
    with Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def topic_prefix() -> str:
    """For KAFKA_TOPIC_PREFIX: the topics of this test are nobody else's."""
    return f"t{secrets.token_hex(5)}."
