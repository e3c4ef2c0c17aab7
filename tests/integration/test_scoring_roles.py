"""The roles as processes of their own: the log goes in, scores come out, once over two workers."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared import ids
from shared.events import dump
from shared.kafka.client import ensure_topics
from shared.kafka.publisher import Publisher, Record
from shared.settings import Settings
from shared.topics import ACTIVITIES, PERSONS, SCORES
from tests.support import scoring_store
from tests.support.cluster import PARTITIONS, Cluster, Instance, token
from tests.support.infra import Infra
from tests.support.scoring_store import COMPANY, fact
from tests.support.waiting import until

pytestmark = pytest.mark.integration

PERSONS_TOLD = 300
PERSONS_RESCORED = 12_000


async def test_two_workers_a_ticker_and_an_api_apart(
    cluster: Cluster, infra: Infra, database_url: str, topic_prefix: str
) -> None:
    facts = [
        *(fact("activity", n, 1, {"type": "call", "person_id": n}) for n in range(PERSONS_TOLD)),
        *(fact("person", n, 1, {"org_id": 3}) for n in range(PERSONS_TOLD)),
        *(fact("activity", n, 2, {"done": True}) for n in range(PERSONS_TOLD)),
    ]
    settings = Settings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=PARTITIONS,
    )
    await ensure_topics(settings, (PERSONS, ACTIVITIES, SCORES))
    api = cluster.start("scoring", "api")
    others = [cluster.start("scoring", role) for role in ("worker", "worker", "ticker")]
    for instance in (api, *others):
        await cluster.ready(instance)

    async with Publisher(settings, deadline_s=20) as publisher:
        records = [Record(each.topic, each.fact.key, dump(each.fact)) for each in facts]
        await publisher.publish([*records, *records])

    conn = await asyncpg.connect(database_url, server_settings={"search_path": "scoring"})
    try:

        async def all_scored() -> bool:
            scored = "SELECT count(*) FROM contacts WHERE last_contacted IS NOT NULL"
            waiting = "SELECT count(*) FROM outbox"
            read = "SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets"
            return (
                await conn.fetchval(scored) == PERSONS_TOLD
                and await conn.fetchval(read) == 2 * len(facts)
                and await conn.fetchval(waiting) == 0
            )

        await until(all_scored, 60)
        changes = await conn.fetchval(
            "SELECT count(*) FROM score_changes WHERE new_score = old_score"
        )
        months = await conn.fetchval(
            r"SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^score_changes_\d'"
        )
    finally:
        await conn.close()
    assert (changes, months) == (0, 2)
    contact = ids.contact(COMPANY, 7)
    status, body = await cluster.get(f"{api.url}/api/scores/{contact}", COMPANY, "1")
    assert (status, body["data"]["personId"]) == (200, "7")
    status, _ = await cluster.get(f"{others[0].url}/api/scores/{contact}", COMPANY, "1")
    assert status == 404
    assert [await instance.stop() for instance in (api, *others)] == [0, 0, 0, 0]


async def test_weights_are_decided_though_no_worker_ever_ran(cluster: Cluster) -> None:
    api = cluster.start("scoring", "api")
    await cluster.ready(api)

    async def is_decided() -> bool:
        status = await asked_to_decide(cluster, api, {"organization": 5})
        assert status in (201, 503)
        return status == 201

    await until(is_decided, 60)


async def test_a_rescoring_goes_on_where_a_killed_ticker_left_it(
    cluster: Cluster, database_url: str, tmp_path: Path
) -> None:
    async with scoring_store.store(database_url, tmp_path) as store:
        told = [fact("person", n, 1, {"org_id": 3}) for n in range(PERSONS_RESCORED)]
        await store.told_all(told[n : n + 500] for n in range(0, PERSONS_RESCORED, 500))
        api = cluster.start("scoring", "api", "worker")
        ticker = cluster.start("scoring", "ticker")
        for instance in (api, ticker):
            await cluster.ready(instance)

        await decide(cluster, api, {"organization": 5})
        await until(lambda: has_begun(cluster, api), 30)
        ticker.kill()

        left = (await rescoring(cluster, api))["done"]
        assert 0 < left < PERSONS_RESCORED
        assert left == await store.pool.fetchval("SELECT count(*) FROM contacts WHERE score = 5")
        others = [cluster.start("scoring", "ticker") for _ in range(2)]
        await until(lambda: has_ended(cluster, api), 60)
        changes = (
            "SELECT count(*), count(DISTINCT person_id) FROM score_changes WHERE old_score = 1"
        )
        assert tuple(await store.pool.fetchrow(changes)) == (PERSONS_RESCORED, PERSONS_RESCORED)
        assert (await rescoring(cluster, api))["done"] == PERSONS_RESCORED
        for instance in others:
            await cluster.ready(instance)


async def decide(cluster: Cluster, api: Instance, weights: dict[str, int]) -> None:
    assert await asked_to_decide(cluster, api, weights) == 201


async def asked_to_decide(cluster: Cluster, api: Instance, weights: dict[str, int]) -> int:
    headers = {"Authorization": f"Bearer {token(COMPANY, '5', role='admin')}"}
    body = {"weights": weights, "reason": "To see."}
    address = f"{api.url}/api/scoring/weights"
    async with cluster.http.post(address, json=body, headers=headers) as response:
        return response.status


async def rescoring(cluster: Cluster, api: Instance) -> Any:
    status, body = await cluster.get(f"{api.url}/api/scoring/weights", COMPANY, "1")
    assert status == 200
    return body["data"]["rescoring"]


async def has_begun(cluster: Cluster, api: Instance) -> bool:
    return (await rescoring(cluster, api))["done"] > 0


async def has_ended(cluster: Cluster, api: Instance) -> bool:
    return (await rescoring(cluster, api))["state"] == "finished"
