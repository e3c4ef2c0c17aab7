"""A cluster for each test: own database, own topics, own Redis database."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster


@pytest.fixture
async def cluster(
    infra: Any, database_url: str, redis_url: str, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": infra.kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_GROUP_PREFIX": topic_prefix + "my500",
        "KAFKA_PARTITIONS": "3",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "LOG_LEVEL": "INFO",
    }
    async with Cluster(tmp_path, environment) as cluster:
        yield cluster
