"""The commands' API on real Kafka and Postgres, with a Pipedrive double behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from devstack.pipedrive.api.double import Double, Setup
from devstack.pipedrive.api.limits import Rules
from devstack.pipedrive.api.tables import Order
from devstack.pipedrive.world import Sizes
from services.ingest import storage
from services.ingest.commands import role
from services.ingest.commands.telling import Telling
from services.ingest.preparing import Prepared
from services.ingest.settings import IngestSettings
from shared.app import application
from shared.auth import Authenticator
from shared.kafka.publisher import Publisher
from shared.pipedrive.budget import Budget
from shared.pipedrive.client import Clients
from shared.tenants import Tenants
from tests.support.cluster import SECRET, token
from tests.support.infra import Infra
from tests.support.waiting import until

COMPANY = 7001
API_TOKEN = "a-token-of-the-double"
READ_S = 20.0
DEADLINE_S = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    client: TestClient[Any, Any]
    double: Double
    settings: IngestSettings
    budget: Budget
    telling: Telling

    async def send(
        self, method: str, path: str, body: Any, *, key: str | None = None, user: str = "1001"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token(COMPANY, user)}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.client.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def record_at(self, topic: str, partition: int, offset: int) -> Any:
        """The fact at a position of the log."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await consumer.start()
        try:
            place = TopicPartition(self.settings.kafka_topic_prefix + topic, partition)
            consumer.assign([place])
            consumer.seek(place, offset)
            async with asyncio.timeout(READ_S):
                return json.loads((await consumer.getone()).value or b"")
        finally:
            await consumer.stop()

    def people_called(self, name: str) -> list[Any]:
        """Who has this name in Pipedrive."""
        table = self.double.account.tables["person"]
        found = [table.get(one) for one in table.walk(Order.ID)]
        return [one for one in found if one is not None and one["name"] == name]


def a_tenant(api_domain: str, company_id: int = COMPANY, **more: Any) -> dict[str, Any]:
    return {
        "company_id": company_id,
        "webhook_user": "hook",
        "webhook_password": "password",
        "api_token": API_TOKEN,
        "api_domain": api_domain,
        **more,
    }


@asynccontextmanager
async def double(**setup: Any) -> AsyncIterator[Double]:
    """A small company without limits, its history lived through."""
    given = {"sizes": Sizes(2, 20, 8, 2.0), "limits": Rules(None, None), **setup}
    async with Double(Setup(COMPANY, API_TOKEN, **given)) as made:
        await made.account.live_through_history()
        yield made


@asynccontextmanager
async def serving(
    infra: Infra, database_url: str, topic_prefix: str, folder: Path, **more: Any
) -> AsyncIterator[Service]:
    """`more` are settings of ingest."""
    async with double() as pipedrive:
        file = folder / "tenants.json"
        file.write_text(json.dumps([a_tenant(pipedrive.url)]))
        settings = IngestSettings(
            kafka_bootstrap_servers=infra.kafka,
            kafka_topic_prefix=topic_prefix,
            kafka_partitions=2,
            DATABASE_URL=SecretStr(database_url),
            tenants_file=file,
            spool_dir=folder / "spool",
            pipedrive_deadline_seconds=DEADLINE_S,
            **more,
        )
        async with Budget(None) as budget, _application(settings, budget) as (client, telling):
            yield Service(client, pipedrive, settings, budget, telling)


@asynccontextmanager
async def _application(
    settings: IngestSettings, budget: Budget
) -> AsyncIterator[tuple[TestClient[Any, Any], Telling]]:
    tenants = Tenants(settings.tenants_file)
    prepared = Prepared(settings)
    stop = asyncio.Event()
    await prepared.make(stop)
    async with (
        Publisher(settings, deadline_s=5.0) as publisher,
        storage.stored(settings, publisher, prepared.topics.is_set) as (outlet, spooling),
        Clients(tenants, budget) as clients,
        role.assembled(settings, tenants, clients, publisher, outlet, prepared) as commands,
    ):
        app = application(
            commands.endpoints(),
            title="commands",
            pings={},
            authenticator=Authenticator(SecretStr(SECRET), None),
        )
        loops = (commands.run, *spooling)
        running = [asyncio.ensure_future(loop(stop)) for loop in loops]

        async def is_ready() -> bool:
            return not outlet.away

        await until(is_ready, READ_S)
        async with TestClient(TestServer(app)) as client:
            yield client, commands.commands.doing.telling
        stop.set()
        await asyncio.wait(running)
