"""An organization store on real Postgres, told facts directly and asked over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from services.orgs import api, applying
from services.orgs.main import MIGRATIONS, SERVICE
from services.orgs.settings import OrgsSettings
from shared import db, service, topics
from shared.app import application
from shared.auth import Authenticator
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher
from shared.openapi import Endpoint
from tests.support.infra import Infra
from tests.support.orgs_facts import SECRET

Client = TestClient[Any, Any]
POOL_SIZE = 4
PUBLISH_S = 5.0
SAID = (topics.APP_ORGANIZATIONS, topics.APP_ORGANIZATION_VERDICTS)
"""What the endpoints publish. A test that reads or writes more of the log makes more topics."""


def settings(infra: Infra, database_url: str, topic_prefix: str) -> OrgsSettings:
    return OrgsSettings(
        DATABASE_URL=SecretStr(database_url),
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=2,
    )


@asynccontextmanager
async def prepared(database_url: str) -> AsyncIterator[db.Pool]:
    await service.prepare_store(database_url, SERVICE, MIGRATIONS, asyncio.Event())
    async with db.pool(database_url, SERVICE, size=POOL_SIZE, durable=False) as pool:
        yield pool


@asynccontextmanager
async def asked(settings: OrgsSettings, pool: db.Pool) -> AsyncIterator[Client]:
    """One instance of the API over the store."""
    await service.prepare_topics(settings, SAID, asyncio.Event())
    async with (
        Publisher(settings, deadline_s=PUBLISH_S) as publisher,
        served(api.endpoints(pool, publisher)) as client,
    ):
        yield client


@asynccontextmanager
async def served(endpoints: Sequence[Endpoint]) -> AsyncIterator[Client]:
    app = application(
        endpoints,
        title="orgs",
        pings={},
        authenticator=Authenticator(SecretStr(SECRET), None),
    )
    async with TestClient(TestServer(app)) as client:
        yield client


async def tell(pool: db.Pool, *facts: Received) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await applying.apply(conn, facts)
