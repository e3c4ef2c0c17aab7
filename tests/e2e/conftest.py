"""A cluster for each test: own database, own topics, own Redis database."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, variables


@pytest.fixture
async def cluster(
    infra: Any, database_url: str, redis_url: str, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    names = variables(infra.kafka, database_url, redis_url, topic_prefix, partitions=3) | {
        "LOG_LEVEL": "INFO"
    }
    async with Cluster(tmp_path, names) as cluster:
        yield cluster
