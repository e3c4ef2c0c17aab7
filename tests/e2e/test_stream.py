"""The live stream of real processes: through restarts, and gone at once when one stops."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests.support.cluster import Cluster, Instance, token
from tests.support.live import Client
from tests.support.pipe import COMPANY, a_tenant, life, push, settled, truth, whole_list
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

STOPPED_S = 5.0


def owners(pages: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Those with the longest lists."""
    return sorted(pages, key=lambda user: -len(pages[user]))[:3]


async def follow(client: Client, instances: list[Instance]) -> None:
    """For ever, on whichever instance answers."""
    turn = 0
    while True:
        turn += 1
        try:
            await client.follow(instances[turn % len(instances)].url)
        except (aiohttp.ClientError, AssertionError):  # being stopped, or not yet ready
            await asyncio.sleep(0.05)


async def test_streams_agree_with_the_pages_though_instances_come_and_go(
    cluster: Cluster,
) -> None:
    history = life(17, 1200)
    pages = truth(COMPANY, history)
    cluster.write_tenants([a_tenant(COMPANY)])
    services = await cluster.start_all()
    query = [services["query"], cluster.start("query", "api")]
    await cluster.ready(query[1])
    clients = {
        user: Client(cluster.http, {"Authorization": f"Bearer {token(COMPANY, user)}"})
        for user in owners(pages)
    }
    following = [asyncio.create_task(follow(each, query)) for each in clients.values()]
    took = []

    third = len(history) // 3
    await push(cluster, services["ingest"], history[:third])
    began = time.perf_counter()
    status = await query[1].stop()
    took.append(time.perf_counter() - began)
    query[1] = cluster.start("query", "api")
    await push(cluster, services["ingest"], history[third : 2 * third])
    query[0].kill()
    query[0] = cluster.start("query")
    await push(cluster, services["ingest"], history[2 * third :])
    await cluster.ready(query[0])

    await settled(cluster, query[0], COMPANY, pages)
    for user, client in clients.items():
        expected = await whole_list(cluster, query[0], COMPANY, user)

        async def agrees(client: Client = client, expected: Any = expected) -> bool:
            return client.copy.listed() == expected

        await until(agrees, 30)
    for task in following:
        task.cancel()
    await asyncio.wait(following)
    assert status == 0
    assert took[0] < STOPPED_S
    assert all(len(client.events) > 20 for client in clients.values())
