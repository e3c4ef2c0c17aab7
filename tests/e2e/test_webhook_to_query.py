"""A webhook that Pipedrive sends reaches its owner's page, through all four services."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from tests.support import cluster as clusters
from tests.support import histories
from tests.support.cluster import Cluster, Instance
from tests.support.infra import Infra, new_database
from tests.support.pipe import (
    COMPANY,
    FOREIGN,
    a_tenant,
    authorization,
    deliver,
    life,
    push,
    settled,
    truth,
    whole_list,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "pipedrive" / "webhooks"

Body = dict[str, Any]
DOORS = 7011
WALLS = (7021, 7022)


@dataclass(frozen=True, slots=True)
class Running:
    cluster: Cluster
    services: dict[str, Instance]


@pytest.fixture(scope="module")
async def running(
    infra: Infra, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """All services, which made their stores themselves. Each test has companies of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    companies = {COMPANY, DOORS, FOREIGN, *WALLS, *map(company_of, recorded())}
    with new_database(infra) as url:
        async with clusters.on(infra, url, folder) as cluster:
            cluster.write_tenants([a_tenant(company) for company in companies])
            yield Running(cluster, await cluster.start_all())


def recorded() -> Iterator[Body]:
    """The bodies seen at the real Pipedrive, where they lie beside the checkout."""
    for file in sorted(SAMPLES.glob("*.json")):
        body = json.loads(file.read_bytes())
        if isinstance(body.get("meta"), dict) and body["meta"].get("company_id"):
            yield body


def company_of(body: Body) -> int:
    return int(body["meta"]["company_id"])


async def test_every_users_page_equals_the_model_however_the_events_arrive(
    running: Running,
) -> None:
    cluster, services = running.cluster, running.services
    history = life(7, 2000)
    samples: dict[int, list[Body]] = {}
    for body in recorded():
        samples.setdefault(company_of(body), []).append(body)

    sent = histories.shuffled_with_duplicates(history, seed=7)
    statuses = await push(cluster, services["ingest"], sent)
    assert set(statuses) == {200}
    for company, bodies in samples.items():
        statuses = await push(cluster, services["ingest"], bodies, company)
        assert set(statuses) == {200}, company

    for company, bodies in samples.items():
        await settled(cluster, services["query"], company, truth(company, bodies))
    pages = truth(COMPANY, history)
    assert len(pages) == 3
    await settled(cluster, services["query"], COMPANY, pages)
    await _filters_agree_with_the_whole_list(cluster, services["query"], list(pages))


async def _filters_agree_with_the_whole_list(
    cluster: Cluster, query: Instance, users: list[str]
) -> None:
    for user in users:
        everything = await whole_list(cluster, query, COMPANY, user)
        for band, (low, high) in {"0-3": (0, 3), "4-6": (4, 6), "7-10": (7, 10)}.items():
            filtered = await whole_list(cluster, query, COMPANY, user, f"&warmness={band}")
            assert filtered == [c for c in everything if low <= c["warmnessScore"] <= high]
        organization = next(c["organizationId"] for c in everything if c["organizationId"])
        filtered = await whole_list(
            cluster, query, COMPANY, user, f"&organizationId={organization}"
        )
        assert filtered == [c for c in everything if c["organizationId"] == organization]
        await _numbered_pages_are_the_list(cluster, query, user, everything)


async def _numbered_pages_are_the_list(
    cluster: Cluster, query: Instance, user: str, everything: list[dict[str, Any]]
) -> None:
    for number in range(1, len(everything) // 20 + 2):
        url = f"{query.url}/api/my-500?page={number}"
        _, body = await cluster.get(url, COMPANY, user)
        assert body["data"]["contacts"] == everything[20 * (number - 1) : 20 * number]
        pagination = body["data"]["pagination"]
        assert pagination["total"] == len(everything)
        assert pagination["totalPages"] == -(-len(everything) // 20)
        assert pagination["hasNext"] is (number < pagination["totalPages"])
        assert pagination["hasPrev"] is (number > 1)


async def test_the_door_in_answers_as_the_contract_says(cluster: Cluster) -> None:
    cluster.write_tenants([a_tenant(COMPANY), a_tenant(FOREIGN)])
    ingest = cluster.start("ingest")
    await cluster.ready(ingest)
    body = json.dumps(histories.a_webhook(company_id=COMPANY)).encode()
    right = authorization(COMPANY)
    wrong = authorization(COMPANY, "wrong")

    assert await deliver(cluster, ingest, body, wrong) == 401
    assert await deliver(cluster, ingest, body, None) == 401
    assert await deliver(cluster, ingest, body, authorization(FOREIGN)) == 403
    assert await deliver(cluster, ingest, b"x" * 2 * 1024 * 1024, right) == 413
    assert await deliver(cluster, ingest, b'{"broken', right) == 200
    assert await deliver(cluster, ingest, body, right) == 200
    letter = await _one_dead_letter(cluster)
    assert letter.value == b'{"broken'


async def _one_dead_letter(cluster: Cluster) -> Any:
    consumer = AIOKafkaConsumer(
        cluster.environment["KAFKA_TOPIC_PREFIX"] + "pipedrive.webhooks.dlq",
        bootstrap_servers=cluster.environment["KAFKA_BOOTSTRAP_SERVERS"],
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        return await consumer.getone()
    finally:
        await consumer.stop()


async def test_the_doors_out_answer_as_the_contract_says(running: Running) -> None:
    cluster, services = running.cluster, running.services
    query, scoring = services["query"].url, services["scoring"].url
    person = histories.a_webhook(company_id=DOORS)
    owner = str(histories.USER_ID)
    await push(cluster, services["ingest"], [person], DOORS)
    expected = truth(DOORS, [person])
    await settled(cluster, services["query"], DOORS, expected)
    contact = expected[owner][0]["id"]

    for bad in ("page=0", "page=x", "limit=0", "limit=501", "warmness=1-2", "organizationId=7"):
        status, answer = await cluster.get(f"{query}/api/my-500?{bad}", DOORS, owner)
        assert (status, answer["success"]) == (400, False), bad
        assert answer["error"].endswith("."), answer
    for url in (f"{query}/api/contacts/{contact}", f"{scoring}/api/scores/{contact}"):
        assert (await cluster.get(url, DOORS, owner))[0] == 200
        assert (await cluster.get(url, FOREIGN, owner))[0] == 404
    async with cluster.http.get(f"{query}/api/my-500") as response:
        assert response.status == 401


async def test_a_user_sees_only_own_contacts_of_the_own_company(running: Running) -> None:
    """Two companies with the very same ids, users and names."""
    cluster, services = running.cluster, running.services
    lives = {company: life(seed, 300, company) for seed, company in enumerate(WALLS, 1)}
    for company, bodies in lives.items():
        await push(cluster, services["ingest"], bodies, company)

    for company, bodies in lives.items():
        await settled(cluster, services["query"], company, truth(company, bodies))
    assert await whole_list(cluster, services["query"], WALLS[0], "1") == []


async def test_every_service_shows_its_health_and_its_documentation_and_stops_in_order(
    running: Running,
) -> None:
    cluster, services = running.cluster, running.services

    for instance in services.values():
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            async with cluster.http.get(instance.url + path) as response:
                assert response.status == 200, (instance.service, path)
    for instance in services.values():
        assert await instance.stop() == 0, instance.log.read_text()[-2000:]
