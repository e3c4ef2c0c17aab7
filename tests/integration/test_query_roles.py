"""The two roles as processes of their own: what a topic says is on the page soon after."""

from pathlib import Path
from typing import Any

import pytest

from shared import events
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher, Record
from shared.settings import Settings
from tests.support import query_facts as facts
from tests.support.cluster import PARTITIONS, Cluster, token, variables
from tests.support.infra import Infra
from tests.support.query_facts import COMPANY
from tests.support.waiting import until

pytestmark = pytest.mark.integration

NOWHERE = "redis://127.0.0.1:1/0"


async def tell(infra: Infra, prefix: str, *told: Received) -> None:
    settings = Settings(kafka_bootstrap_servers=infra.kafka, kafka_topic_prefix=prefix)
    async with Publisher(settings, deadline_s=10) as publisher:
        await publisher.publish(
            [Record(topic, fact.key, events.dump(fact)) for topic, fact in told]
        )


async def test_a_service_without_redis_is_ready_and_says_so(
    infra: Infra, database_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    names = variables(infra.kafka, database_url, NOWHERE, topic_prefix, partitions=PARTITIONS)
    async with Cluster(tmp_path, names) as cluster:
        cluster.write_tenants([])
        api = cluster.start("query", "api")
        await cluster.ready(api)
        async with cluster.http.get(f"{api.url}/readyz") as response:
            said = (await response.json())["data"]["dependencies"]

    assert said["postgres"] == "ok"
    assert said["redis"].startswith("away, pages are read from Postgres")


async def test_a_session_is_ended_though_no_projector_ever_ran(cluster: Cluster) -> None:
    api = cluster.start("query", "api")
    await cluster.ready(api)
    headers = {"Authorization": f"Bearer {token(COMPANY, '7', jti='a')}"}

    async def is_ended() -> bool:
        address = f"{api.url}/api/sessions/revoke"
        async with cluster.http.post(address, json={"jti": "b"}, headers=headers) as response:
            assert response.status in (200, 503), await response.text()
            return response.status == 200

    await until(is_ended, 60)


async def test_what_the_topics_say_is_on_the_page(
    cluster: Cluster, infra: Infra, topic_prefix: str
) -> None:
    projector = cluster.start("query", "projector")
    api = cluster.start("query", "api")
    for instance in (projector, api):
        await cluster.ready(instance)
    url = f"{api.url}/api/my-500"

    async def page() -> list[dict[str, Any]]:
        _, body = await cluster.get(url, COMPANY, "7")
        contacts: list[dict[str, Any]] = body["data"]["contacts"]
        return contacts

    assert await page() == []
    await tell(
        infra,
        topic_prefix,
        facts.person(1, name="Ada"),
        facts.link(1, 1),
        facts.organization(1),
        facts.score(1, 7),
        facts.activity(5, person_id=1),
        facts.campaign(1, 2, added=True),
    )

    async def is_whole() -> bool:
        return [
            (
                contact["name"],
                contact["warmnessScore"],
                contact["addedToCampaign"],
                contact["organization"] is not None,
                len(contact["activities"]),
            )
            for contact in await page()
        ] == [("Ada", 7, True, True, 1)]

    await until(is_whole, 20)
    assert (await cluster.get(projector.url + "/api/my-500", COMPANY, "7"))[0] == 404
    assert [await projector.stop(), await api.stop()] == [0, 0]
