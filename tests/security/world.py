"""The four services with two companies, known secrets, and all that they left behind.

Rule: a test that needs to know every route takes it from the services' own documents, so that a
route which is added is covered, or fails the test that cannot cover it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from devstack.pipedrive.api.double import Double, Setup
from devstack.pipedrive.api.limits import Rules
from devstack.pipedrive.world import Sizes
from tests.support import infra as servers
from tests.support.cluster import SECRET, SERVICES, Cluster, Instance, token
from tests.support.infra import Infra
from tests.support.pipe import a_tenant, life, push, truth

OURS, THEIRS = 910_000_001, 820_000_002
"""Numbers that nothing else can have by chance."""
API_TOKENS = {OURS: "api-token-that-must-not-be-seen-1", THEIRS: "api-token-never-to-be-seen-2"}
SEED, EVENTS = 5, 400
USER = min(truth(OURS, life(SEED, EVENTS, OURS)), key=int)
"""One of those whose contacts the companies' lives are about."""
PARTITIONS = 1
METHODS = ("get", "post", "put", "patch", "delete")
OPEN = ("/healthz", "/readyz", "/metrics")
"""Paths that every service serves to everybody."""


@dataclass(frozen=True, slots=True)
class Route:
    service: str
    method: str
    path: str
    operation: Mapping[str, Any]

    @property
    def auth(self) -> str | None:
        schemes = [name for each in self.operation.get("security", []) for name in each]
        return schemes[0] if schemes else None


@dataclass(frozen=True, slots=True)
class World:
    cluster: Cluster
    services: Mapping[str, Instance]
    documents: Mapping[str, Mapping[str, Any]]
    database_url: str
    redis_url: str
    topic_prefix: str

    @property
    def http(self) -> aiohttp.ClientSession:
        return self.cluster.http

    def url(self, service: str, path: str = "") -> str:
        return self.services[service].url + path

    def routes(self) -> list[Route]:
        """Every route of every service but those that are open to everybody."""
        return [
            Route(service, method, path, operation)
            for service, document in self.documents.items()
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if method in METHODS and path not in OPEN
        ]

    def logs(self) -> str:
        return "".join(instance.log.read_text() for instance in self.services.values())


def secrets_of(world: World) -> list[str]:
    """Texts that no log may ever hold."""
    tenants = [a_tenant(company) for company in (OURS, THEIRS)]
    password = world.database_url.split("@")[0].rpartition(":")[2]
    return [SECRET, password, *API_TOKENS.values(), *(t["webhook_password"] for t in tenants)]


def assert_silent(text: str, world: World) -> None:
    """No secret stands in it."""
    for secret in secrets_of(world):
        assert secret not in text, text[max(0, text.index(secret) - 300) :][:400]


@asynccontextmanager
async def world(infra: Infra, folder: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as held:
        tenants = []
        for company_id in (OURS, THEIRS):
            setup = Setup(
                company_id,
                API_TOKENS[company_id],
                sizes=Sizes(2, 5, 5),
                limits=Rules(burst=None, daily_tokens=None),
            )
            double = await held.enter_async_context(Double(setup))
            await double.account.live_through_history()
            tenants.append(whole_tenant(company_id, double.url))
        yield await held.enter_async_context(services(infra, folder, tenants))


@asynccontextmanager
async def services(
    infra: Infra, folder: Path, tenants: Sequence[Mapping[str, Any]]
) -> AsyncIterator[World]:
    prefix = f"s{uuid4().hex[:10]}."
    with servers.new_database(infra) as database_url:
        redis_url = servers.empty_redis(infra)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": infra.kafka,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_GROUP_PREFIX": prefix + "my500",
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "LOG_LEVEL": "INFO",
            "SPOOL_DIR": str(folder / "spool"),
            # What a busy broker acks later than that is spooled as well, and stored twice: here it
            # is counted what is stored.
            "PUBLISH_DEADLINE_SECONDS": "5",
        }
        async with Cluster(folder, environment) as cluster:
            cluster.write_tenants(tenants)
            started = {name: cluster.start(name) for name in SERVICES if name != "ingest"}
            started["ingest"] = cluster.start(
                "ingest", ORGS_URL=started["orgs"].url, QUERY_URL=started["query"].url
            )
            for instance in started.values():
                await cluster.ready(instance)
            documents = {name: await document(cluster, started[name]) for name in SERVICES}
            yield World(cluster, started, documents, database_url, redis_url, prefix)


@asynccontextmanager
async def lived_in(infra: Infra, folder: Path) -> AsyncIterator[World]:
    """One that company `OURS` has lived in. At the end no secret stands in its logs."""
    async with world(infra, folder) as made:
        await live(made, OURS)
        yield made
        assert_silent(made.logs(), made)


def whole_tenant(company_id: int, api_domain: str) -> dict[str, Any]:
    return {
        **a_tenant(company_id),
        "api_token": API_TOKENS[company_id],
        "api_domain": api_domain,
    }


async def document(cluster: Cluster, instance: Instance) -> dict[str, Any]:
    async with cluster.http.get(f"{instance.url}/openapi.json") as response:
        found: dict[str, Any] = await response.json()
        return found


async def live(world: World, company_id: int) -> None:
    """A life of webhooks, the same for whichever company: ids, names, everything."""
    bodies = life(SEED, EVENTS, company_id)
    statuses = await push(world.cluster, world.services["ingest"], bodies, company_id)
    assert set(statuses) == {200}


def bearer(company_id: int, user_id: str = "1", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(company_id, user_id, **claims)}"}
