"""What Pipedrive holds comes to the pages, whatever the webhooks lost."""

from typing import Any

import asyncpg
import pytest

from services.ingest.sync.deciding import CONSISTENT_AFTER
from tests.support.cluster import Cluster
from tests.support.double import Double, double
from tests.support.pipe import COMPANY, a_tenant
from tests.support.syncing import (
    TWIN,
    USER,
    Asking,
    a_connected_tenant,
    changed,
    deliver_some,
    pages_are_the_doubles,
)
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]

STORES = """
SELECT (SELECT count(*) FROM scoring.score_changes) AS score_changes,
       (SELECT last_value FROM scoring.outbox_place) AS scoring_told,
       (SELECT last_value FROM orgs.outbox_place) AS orgs_told
"""
SLACK_S = 30.0
SIZE = ("--contacts", "60", "--organizations", "40", "--remember")


async def test_a_delta_heals_what_webhooks_lost_and_the_nightly_walk_what_was_deleted(
    cluster: Cluster,
) -> None:
    cluster.environment = {**cluster.environment, "HOOK_CHECK_SECONDS": "0.5"}
    async with double(cluster.folder, COMPANY, *SIZE) as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive), a_tenant(TWIN)])
        services = await cluster.start_all()
        asking = Asking(cluster, services["ingest"])
        await asking.ready()

        await asking.done(await asking.connect())
        await deliver_some(cluster, services["ingest"], pipedrive, ("merge",))
        await pages_are_the_doubles(cluster, services, pipedrive)

        await _lose_much(pipedrive)
        await deliver_some(cluster, services["ingest"], pipedrive, ("delete", "merge"))
        await asking.sync("incremental")
        await pages_are_the_doubles(cluster, services, pipedrive)

        await pipedrive.turn("PATCH", "/webhooks", {"dropped": 1.0})
        await pipedrive.happen(300)
        await deliver_some(cluster, services["ingest"], pipedrive, ("merge",))
        await asking.sync("full")
        await pages_are_the_doubles(cluster, services, pipedrive)

        await _repeat_nothing(asking)


async def _repeat_nothing(asking: Asking) -> None:
    """Once what webhooks told is a minute old: of a row that a webhook dates after the second of
    its `update_time`, nobody knows before which of the two came last, and the first sync after
    that minute says so (see `services.ingest.sync.deciding`, rule 4).
    """

    async def is_quiet() -> bool:
        return changed(await asking.sync("full")) == 0

    await until(is_quiet, CONSISTENT_AFTER.total_seconds() + SLACK_S)


async def _lose_much(pipedrive: Double) -> None:
    """One in ten on the way, all during a ban, all while there is no webhook."""
    await pipedrive.turn("PATCH", "/webhooks", {"dropped": 0.1})
    await pipedrive.happen(300)
    [hook] = await pipedrive.hooks()
    await pipedrive.turn("PATCH", f"/webhooks/{hook['id']}", {"banned": True})
    await pipedrive.happen(100)
    await pipedrive.turn("PATCH", f"/webhooks/{hook['id']}", {"deleted": True})
    await pipedrive.happen(100)

    async def is_back() -> bool:
        return bool(await pipedrive.hooks())

    await until(is_back, every_s=0.5)
    await pipedrive.happen(100)


async def test_syncs_by_the_clock_that_find_nothing_leave_every_store_and_page_alone(
    cluster: Cluster,
) -> None:
    cluster.environment = {**cluster.environment, "SYNC_INTERVAL_SECONDS": "1"}
    async with double(cluster.folder, COMPANY, *SIZE, "--burst", "0") as pipedrive:
        cluster.write_tenants([a_connected_tenant(pipedrive), a_tenant(TWIN)])
        services = await cluster.start_all()
        asking = Asking(cluster, services["ingest"])
        await asking.ready()
        await asking.done(await asking.connect())
        await deliver_some(cluster, services["ingest"], pipedrive, ("merge",))
        await pages_are_the_doubles(cluster, services, pipedrive)
        await _quiet_syncs(asking, 2)
        url = f"{services['query'].url}/api/my-500"
        await cluster.get(url, COMPANY, USER)
        before = await _stores(cluster.environment["DATABASE_URL"])

        await _quiet_syncs(asking, 2)

        assert await _stores(cluster.environment["DATABASE_URL"]) == before
        _, page = await cluster.get(url, COMPANY, USER)
        assert page["performance"]["cacheHit"] is True
        assert page["data"]["syncStatus"]["state"] == "idle"
        assert page["data"]["syncStatus"]["lastSyncAt"] is not None


async def _quiet_syncs(asking: Asking, wanted: int) -> None:
    """Wait until so many more syncs by the clock have found nothing."""
    seen = {one["id"] for one in await _done(asking)}

    async def have_been() -> bool:
        quiet = [one for one in await _done(asking) if one["id"] not in seen and not changed(one)]
        return len(quiet) >= wanted

    await until(have_been, every_s=0.3)


async def _done(asking: Asking) -> list[dict[str, Any]]:
    _, answer = await asking.call("GET", "/api/sync")
    return [one for one in answer["data"]["syncs"] if one["state"] == "done"]


async def _stores(dsn: str) -> dict[str, int]:
    """What would grow if anything had been scored or told."""
    conn = await asyncpg.connect(dsn)
    try:
        return dict(await conn.fetchrow(STORES))
    finally:
        await conn.close()
