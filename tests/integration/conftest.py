"""What tests of several parts of the sync stand on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ingest.preparing import MIGRATIONS, SCHEMA
from shared import db, service
from tests.support import synchronised
from tests.support.infra import Infra
from tests.support.synchronised import Company


@pytest.fixture
async def ingest_conn(database_url: str) -> AsyncIterator[db.Connection]:
    """To a store of ingest's of its own."""
    await service.prepare_store(database_url, SCHEMA, MIGRATIONS, asyncio.Event())
    made = await db.connect(database_url, SCHEMA)
    yield made
    await made.close()


@pytest.fixture
async def synchronised_company(
    infra: Infra, database_url: str, redis_url: str, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Company]:
    asked = (infra, database_url, redis_url, topic_prefix, tmp_path)
    async with synchronised.company(*asked) as made:
        yield made
