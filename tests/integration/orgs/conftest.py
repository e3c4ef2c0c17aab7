"""A store for each test, and the API over it with topics of its own."""

from collections.abc import AsyncIterator

import pytest

from services.orgs.settings import OrgsSettings
from shared import db
from tests.support import orgs_store
from tests.support.infra import Infra
from tests.support.orgs_store import Client


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with orgs_store.prepared(database_url) as pool:
        yield pool


@pytest.fixture
def settings(infra: Infra, database_url: str, topic_prefix: str) -> OrgsSettings:
    return orgs_store.settings(infra, database_url, topic_prefix)


@pytest.fixture
async def client(settings: OrgsSettings, pool: db.Pool) -> AsyncIterator[Client]:
    async with orgs_store.asked(settings, pool) as client:
        yield client
