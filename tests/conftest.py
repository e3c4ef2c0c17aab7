"""Fixtures that two or more folders use."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import cluster as clusters
from tests.support import infra as servers
from tests.support.cluster import PARTITIONS, Cluster, variables
from tests.support.databases import Databases
from tests.support.infra import Infra

# A loaded machine takes long over an example now and then, which says nothing about the law.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


MOST_AT_ONCE = 4
"""Each has servers of its own, which take about 1 GB of memory."""


def pytest_xdist_auto_num_workers() -> int:
    """How many files are tested at once by `make test`; 0: none beside another. Servers that were
    given are shared, and Redis has not databases enough to share.
    """
    if servers.given(os.environ) is not None:
        return 0
    return min(os.cpu_count() or 1, MOST_AT_ONCE)


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


@pytest.fixture(scope="session")
async def databases(infra: Infra) -> AsyncIterator[Databases]:
    async with Databases.of(infra) as made:
        yield made


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database of its own: the stores of all services are there, and empty."""
    with databases.one() as url:
        yield url


@pytest.fixture
def empty_database_url(infra: Infra) -> Iterator[str]:
    """A new database, in which nothing is."""
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


@pytest.fixture
async def cluster(
    infra: Infra, database_url: str, redis_url: str, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """Services as processes, with a database, topics and a Redis database of their own, and
    without tenants.
    """
    names = variables(infra.kafka, database_url, redis_url, topic_prefix, partitions=PARTITIONS)
    async with Cluster(tmp_path, names) as cluster:
        cluster.write_tenants([])
        yield cluster


@pytest.fixture(scope="module")
async def shared_cluster(
    infra: Infra, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    """As `cluster`, for all tests of a file that ask for it."""
    with databases.one() as url:
        async with clusters.on(infra, url, tmp_path_factory.mktemp("cluster")) as made:
            yield made
