"""Processes die at any moment; the end is the same as if they had not."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support import histories, infra
from tests.support.cluster import Cluster, Instance, variables
from tests.support.infra import Infra
from tests.support.pipe import COMPANY, a_tenant, life, push, settled, truth
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WORKERS = ("orgs", "scoring", "query")
APPLIED = re.compile(r'^my500_consumer_records_total\{topic="[^"]+"\} (\d+)', re.MULTILINE)


async def applied(cluster: Cluster, instance: Instance) -> int:
    """Records this process has applied."""
    async with cluster.http.get(f"{instance.url}/metrics") as response:
        return sum(map(int, APPLIED.findall(await response.text())))


async def test_killing_any_process_in_the_middle_changes_nothing_in_the_end(
    cluster: Cluster,
) -> None:
    history = life(11, 2000)
    sent = histories.shuffled_with_duplicates(history, seed=11)
    cluster.write_tenants([a_tenant(COMPANY)])
    services = await cluster.start_all()
    before: dict[str, int] = {}

    async def die(service: str) -> None:
        victim = services[service]
        while not (done := await applied(cluster, victim)):  # noqa: ASYNC110  it has begun
            await asyncio.sleep(0.01)
        victim.kill()
        before[service] = done
        services[service] = cluster.start(service)
        await cluster.ready(services[service])

    async with asyncio.TaskGroup() as group:
        pushing = group.create_task(push(cluster, services["ingest"], sent))
        for service in WORKERS:
            group.create_task(die(service))
    assert set(pushing.result()) == {200}

    pages = truth(COMPANY, history)
    await settled(cluster, services["query"], COMPANY, pages)
    after = {service: await applied(cluster, services[service]) for service in WORKERS}
    assert all(after[service] > before[service] for service in WORKERS), (before, after)


async def test_two_instances_of_each_worker_share_the_work(cluster: Cluster) -> None:
    history = life(13, 1500)
    cluster.write_tenants([a_tenant(COMPANY)])
    services = await cluster.start_all()
    seconds = {service: cluster.start(service) for service in WORKERS}
    for instance in seconds.values():
        await cluster.ready(instance)

    await push(cluster, services["ingest"], history)

    pages = truth(COMPANY, history)
    for query in (services["query"], seconds["query"]):
        await settled(cluster, query, COMPANY, pages)
    for service, second in seconds.items():
        shares = [await applied(cluster, one) for one in (services[service], second)]
        assert min(shares) > 0, (service, shares)


async def test_what_a_page_has_shown_outlives_a_crash_of_postgres(
    killable: Infra, redis_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    with infra.new_database(killable) as dsn:
        names = variables(killable.kafka, dsn, redis_url, topic_prefix, partitions=1)
        async with Cluster(tmp_path, names) as cluster:
            cluster.write_tenants([a_tenant(COMPANY)])
            ingest, api = cluster.start("ingest"), cluster.start("query", "api")
            projector = cluster.start("query", "projector")
            for instance in (ingest, api, projector):
                await cluster.ready(instance)

            async def shown(limit: int) -> str | None:
                """`None`: Postgres would have to be asked, and is away."""
                url = f"{api.url}/api/my-500?limit={limit}"
                status, body = await cluster.get(url, COMPANY, "1")
                if status == 503:
                    return None
                return "".join(contact["name"] for contact in body["data"]["contacts"])

            async def is_shown() -> bool:
                return await shown(1) == "Ada"

            async def is_back() -> bool:
                return await shown(2) is not None

            person = histories.a_person(id=1, owner_id=1, name="Ada", org_id=None)
            body = histories.a_webhook("person", "create", person, company_id=COMPANY)
            await push(cluster, ingest, [body])
            await until(is_shown)

            await asyncio.to_thread(killable.kill, "postgres")
            projector.kill()  # nobody is left who could read it from Kafka again
            await asyncio.to_thread(killable.start, "postgres")

            await until(is_back)
            assert await shown(2) == "Ada"  # no page of this length was in the cache
