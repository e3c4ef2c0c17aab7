"""Fixtures that two or more folders use."""

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from tests.support import infra as servers
from tests.support.infra import Infra

# A loaded machine takes long over an example now and then, which says nothing about the law.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


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
    with servers.new_database(infra) as url:
        yield url


@pytest.fixture
def redis_url(infra: Infra) -> str:
    """A logical database that no other test of this session uses at the same time, empty."""
    return servers.empty_redis(infra)


@pytest.fixture
async def topic_prefix(infra: Infra) -> AsyncIterator[str]:
    async with servers.new_topics(infra) as prefix:
        yield prefix
