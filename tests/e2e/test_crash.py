"""Processes die at any moment; the end is the same as if they had not."""

import asyncio
import re

import pytest

from tests.support import histories
from tests.support.cluster import Cluster, Instance
from tests.support.pipe import COMPANY, a_tenant, life, push, settled, truth

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

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

    async with asyncio.TaskGroup() as group:
        pushing = group.create_task(push(cluster, services["ingest"], sent))
        for service in ("orgs", "scoring", "query"):
            victim = services[service]
            while not await applied(cluster, victim):  # noqa: ASYNC110  in the middle means begun
                await asyncio.sleep(0.01)
            victim.kill()
            services[service] = cluster.start(service)
            await cluster.ready(services[service])
    assert set(pushing.result()) == {200}

    pages = truth(COMPANY, history)
    await settled(cluster, services["query"], COMPANY, pages)


async def test_two_instances_of_each_worker_share_the_work(cluster: Cluster) -> None:
    history = life(13, 1500)
    cluster.write_tenants([a_tenant(COMPANY)])
    services = await cluster.start_all()
    seconds = {service: cluster.start(service) for service in ("orgs", "scoring", "query")}
    for instance in seconds.values():
        await cluster.ready(instance)

    await push(cluster, services["ingest"], history)

    pages = truth(COMPANY, history)
    for query in (services["query"], seconds["query"]):
        await settled(cluster, query, COMPANY, pages)
    for service, second in seconds.items():
        shares = [await applied(cluster, one) for one in (services[service], second)]
        assert min(shares) > 0, (service, shares)
