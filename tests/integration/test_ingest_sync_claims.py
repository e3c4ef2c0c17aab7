"""Who works on which company's sync, where several instances look for work."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from pydantic import SecretStr

from devstack.pipedrive.api.faults import Faults
from services.ingest.preparing import SCHEMA
from services.ingest.settings import IngestSettings
from services.ingest.sync import claim, role, runner, sync_store, trying, watching
from services.ingest.sync.asking import FEWER
from services.ingest.sync.claim import Work, claimed
from services.ingest.sync.runner import AT_ONCE, READ_ALL_AT_ONCE, Runner
from services.ingest.sync.steps import Mode
from services.ingest.sync.watching import Watcher
from shared import db, heart
from shared.pipedrive.client import DEADLINE_S
from tests.integration.test_liveness import running
from tests.support.commands import a_tenant, double
from tests.support.infra import Infra
from tests.support.synchronised import assembled
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ELSEWHERE = range(7001, 7001 + AT_ONCE)
LEFT = 7100
MANY = range(7200, 7206)
DUE = """
INSERT INTO connections (company_id, since, incremental_due, full_due)
VALUES ($1, now(), now(), now())
"""
HOOKED = """
INSERT INTO connections (company_id, hook_id, hook_url, hook_digest)
VALUES ($1, 1, 'http://127.0.0.1:1/webhooks/pipedrive', 'ours')
"""
WAS_READ = "UPDATE connections SET since = now() WHERE company_id = $1"


@pytest.fixture
def settings(
    infra: Infra, topic_prefix: str, database_url: str, redis_url: str, tmp_path: Path
) -> IngestSettings:
    file = tmp_path / "tenants.json"
    file.write_text(json.dumps([]))
    return IngestSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=1,
        DATABASE_URL=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        tenants_file=file,
        spool_dir=tmp_path / "spool",
    )


async def test_what_is_claimed_is_seen_by_company_and_by_kind_of_work(
    settings: IngestSettings, database_url: str
) -> None:
    async with (
        claimed(database_url, 7001),
        claimed(database_url, 7002, Work.WEBHOOK),
        claimed(database_url, 9000),
        db.pool(database_url, SCHEMA, size=1) as pool,
        pool.acquire() as conn,
    ):
        assert await claim.held(conn, [7001, 7002, 7003, 9000]) == {7001, 9000}
        assert await claim.held(conn, [7001, 7002], Work.WEBHOOK) == {7002}


async def test_companies_that_another_instance_works_on_do_not_keep_it_from_the_others(
    settings: IngestSettings, database_url: str
) -> None:
    """No company has a token here: whichever sync is gone on with fails at once."""
    async with assembled(settings) as sync, AsyncExitStack() as other:
        asked: dict[int, UUID] = {}
        for company_id in (*ELSEWHERE, LEFT):
            async with sync.store() as conn:
                asked[company_id], _ = await sync_store.ask(conn, company_id, Mode.FULL, "user 1")
            if company_id != LEFT:
                assert await other.enter_async_context(claimed(database_url, company_id))

        async def has_ended() -> bool:
            async with sync.store() as conn:
                found = await sync_store.one(conn, LEFT, asked[LEFT])
            return found is not None and found.finished_at is not None

        async with running(Runner(sync.parts, sync.pool).run):
            await until(has_ended, 20)
        async with sync.store() as conn:
            waiting = {each.company_id for each in await sync_store.waiting(conn)}
        assert waiting == set(ELSEWHERE)


async def test_companies_that_are_read_in_full_leave_room_for_what_changed_in_others(
    settings: IngestSettings,
) -> None:
    """Their Pipedrive says nothing; the other company has no token, so its sync fails at once."""
    async with _with_a_silent_pipedrive(settings) as sync:
        async with sync.store() as conn:
            for company_id in ELSEWHERE:
                await sync_store.ask(conn, company_id, Mode.FULL, "user 1")
        async with running(Runner(sync.parts, sync.pool).run):
            await until(lambda: _are_held(sync, READ_ALL_AT_ONCE), 20)
            async with sync.store() as conn:
                asked, _ = await sync_store.ask(conn, LEFT, Mode.INCREMENTAL, "user 1")
                await conn.execute(WAS_READ, LEFT)

            async def has_ended() -> bool:
                async with sync.store() as conn:
                    found = await sync_store.one(conn, LEFT, asked)
                return found is not None and found.finished_at is not None

            await until(has_ended, 10)
            assert await _are_held(sync, READ_ALL_AT_ONCE)


@pytest.mark.parametrize("mode", Mode)
async def test_two_companies_whose_pipedrive_says_nothing_leave_room_for_all_others(
    settings: IngestSettings, mode: Mode
) -> None:
    """The others have no token, so their syncs fail as soon as it is their turn."""
    silent = ELSEWHERE[:2]
    async with _with_a_silent_pipedrive(settings) as sync:
        async with sync.store() as conn:
            for company_id in (*silent, *MANY):
                await sync_store.ask(conn, company_id, mode, "user 1")
                if mode is Mode.INCREMENTAL:
                    await conn.execute(WAS_READ, company_id)

        async def only_they_are_left() -> bool:
            async with sync.store() as conn:
                waiting = {each.company_id for each in await sync_store.waiting(conn)}
                held = await claim.held(conn, silent)
            return waiting == held == set(silent)

        async with running(Runner(sync.parts, sync.pool).run):
            await until(only_they_are_left, 20)


async def test_companies_whose_pipedrive_says_nothing_give_up_their_places_to_others_soon(
    settings: IngestSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """The other has no token, so its sync fails as soon as it is its turn."""
    silent = ELSEWHERE[:READ_ALL_AT_ONCE]
    caplog.set_level("INFO", trying.__name__)
    async with _with_a_silent_pipedrive(settings) as sync:
        async with sync.store() as conn:
            for company_id in silent:
                await sync_store.ask(conn, company_id, Mode.FULL, "user 1")

        async def has_ended() -> bool:
            async with sync.store() as conn:
                found = await sync_store.one(conn, LEFT, asked)
            return found is not None and found.finished_at is not None

        async with running(Runner(sync.parts, sync.pool).run):
            await until(lambda: _are_held(sync, READ_ALL_AT_ONCE), 20)
            async with sync.store() as conn:
                asked, _ = await sync_store.ask(conn, LEFT, Mode.FULL, "user 1")
            await until(has_ended, 3.5 * DEADLINE_S)

    in_vain = [record.message for record in caplog.records].count("sync_waits")
    assert in_vain > len(silent) * (len(FEWER) - 1)  # pages of each size are tried first


async def test_a_company_that_waits_for_its_night_is_read_by_what_changed(
    settings: IngestSettings,
) -> None:
    """Their Pipedrive says nothing, so none of them comes to an end."""
    async with _with_a_silent_pipedrive(settings) as sync:
        async with sync.store() as conn:
            for company_id in ELSEWHERE:
                await conn.execute(DUE, company_id)

        async with running(Runner(sync.parts, sync.pool).run):
            await until(lambda: _are_held(sync, AT_ONCE), 20)
            async with sync.store() as conn:
                waiting = await sync_store.waiting(conn)

    assert sum(each.reads_all for each in waiting) == READ_ALL_AT_ONCE
    assert len(waiting) == AT_ONCE


async def test_what_is_due_of_many_companies_is_asked_for_in_several_looks(
    settings: IngestSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ASKED_AT_ONCE", 3)
    async with _with_a_silent_pipedrive(settings) as sync, asyncio.TaskGroup() as group:
        (stop := asyncio.Event()).set()
        async with sync.store() as conn:
            await conn.executemany(DUE, [(each,) for each in ELSEWHERE])

            await Runner(sync.parts, sync.pool)._look(group, stop)

            assert len(await sync_store.waiting(conn)) == 3


async def test_a_pipedrive_that_says_nothing_does_not_hold_up_the_webhooks_of_others(
    settings: IngestSettings,
) -> None:
    async with _with_a_silent_pipedrive(settings) as sync, double() as pipedrive:
        silent = ELSEWHERE[:-1]
        tenants = json.loads(settings.tenants_file.read_text())
        tenants[-1]["api_domain"] = pipedrive.url
        settings.tenants_file.write_text(json.dumps(tenants))
        sync.tenants.reload()
        async with sync.store() as conn:
            await conn.executemany(HOOKED, [(each,) for each in ELSEWHERE])

        async def is_looked_at() -> bool:
            return pipedrive.server.requests > 0

        async def are_held() -> bool:
            async with sync.store() as conn:
                return await claim.held(conn, silent, Work.WEBHOOK) == set(silent)

        async with running(Watcher(sync.parts, sync.pool, sync.tenants).run):
            await until(is_looked_at, 8)
            await until(are_held)


async def test_webhooks_of_many_companies_may_take_longer_than_a_loop_may_be_silent(
    settings: IngestSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "AT_ONCE", 1)
    monkeypatch.setattr(heart, "PATIENCE_S", 3.0)
    async with double() as pipedrive, assembled(settings) as sync:
        pipedrive.server.faults = Faults(delay_s=1.0)
        tenants = [a_tenant(pipedrive.url, each, webhook_user=f"hook-{each}") for each in MANY]
        settings.tenants_file.write_text(json.dumps(tenants))
        sync.tenants.reload()
        async with sync.store() as conn:
            await conn.executemany(HOOKED, [(each,) for each in MANY])

        async def all_are_looked_at() -> bool:
            assert heart.stuck() == []
            return pipedrive.server.requests >= len(MANY)

        async with running(Watcher(sync.parts, sync.pool, sync.tenants).run):
            await until(all_are_looked_at, 60)


@asynccontextmanager
async def _with_a_silent_pipedrive(settings: IngestSettings) -> AsyncIterator[role.Sync]:
    """For the companies elsewhere."""
    async with RawTestServer(_silent) as server, assembled(settings) as sync:
        url = str(server.make_url(""))
        tenants = [a_tenant(url, each, webhook_user=f"hook-{each}") for each in ELSEWHERE]
        settings.tenants_file.write_text(json.dumps(tenants))
        sync.tenants.reload()
        yield sync


async def _silent(_: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _are_held(sync: role.Sync, number: int) -> bool:
    async with sync.store() as conn:
        return len(await claim.held(conn, list(ELSEWHERE))) == number
