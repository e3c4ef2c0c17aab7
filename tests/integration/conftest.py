"""What tests of several parts stand on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.ingest import rows
from services.ingest.preparing import MIGRATIONS, SCHEMA
from services.ingest.sync import reading, runner
from shared import db, service
from tests.support import synchronised
from tests.support.infra import Infra
from tests.support.synchronised import Company


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """Of a store with one table, `one`."""
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE one (n int); INSERT INTO one VALUES (1);"
    )
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE one ADD COLUMN more jsonb;")
    return tmp_path


@pytest.fixture
async def ingest_conn(database_url: str) -> AsyncIterator[db.Connection]:
    """To a store of ingest's of its own."""
    await service.prepare_store(database_url, SCHEMA, MIGRATIONS, asyncio.Event())
    made = await db.connect(database_url, SCHEMA)
    yield made
    await made.close()


@pytest.fixture
async def synchronised_company(
    infra: Infra,
    database_url: str,
    redis_url: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Company]:
    """With waits that a double whose clock is ours does not need: for what is due, and for rows
    that were written within the second of their reading.
    """
    monkeypatch.setattr(runner, "LOOK_S", 0.1)
    monkeypatch.setattr(rows, "SLACK", timedelta(0))
    monkeypatch.setattr(reading, "SETTLED_S", 1.1)
    asked = (infra, database_url, redis_url, topic_prefix, tmp_path)
    async with synchronised.company(*asked) as made:
        yield made
