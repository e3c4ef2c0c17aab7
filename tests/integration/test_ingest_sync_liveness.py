"""A company's sync that waits is alive, whatever it waits for; one that hangs is named."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest

from devstack.pipedrive.api.double import Double
from devstack.pipedrive.api.faults import Faults
from devstack.pipedrive.api.hooks import Registered
from devstack.pipedrive.api.limits import Rules
from devstack.pipedrive.world import Sizes
from services.ingest.preparing import PATIENCE_S, SCHEMA, Prepared
from services.ingest.settings import IngestSettings
from services.ingest.sync import connection_store, hooks, sync_store
from services.ingest.sync.runner import WORK, Runner
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Sync
from services.ingest.sync.watching import Watcher
from shared import db, heart
from shared.kafka.publisher import Publisher, Record
from tests.integration.test_liveness import is_stuck
from tests.support import proxy
from tests.support.commands import COMPANY, a_tenant, double
from tests.support.infra import Infra
from tests.support.loops import running
from tests.support.proxy import Weather
from tests.support.synchronised import assembled
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SIZES = Sizes(2, 20, 8, 10.0)
NOBODY = "http://127.0.0.1:1"
Before = Callable[[], Awaitable[None]]


class Told(Publisher):
    """Does something before each round."""

    before: Before

    async def publish(self, records: Sequence[Record]) -> None:
        await self.before()
        await super().publish(records)


@dataclass(frozen=True, slots=True)
class Work:
    """A full sync that was asked for, and whose process looks for work."""

    sync_id: UUID
    dsn: str

    async def told(self) -> Sync:
        conn = await db.connect(self.dsn, SCHEMA)
        try:
            found = await sync_store.one(conn, COMPANY, self.sync_id)
            assert found is not None
            return found
        finally:
            conn.terminate()

    async def is_in(self, state: str) -> bool:
        return (await self.told()).state == state


@pytest.fixture
def environment(
    infra: Infra,
    topic_prefix: str,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": infra.kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_GROUP_PREFIX": topic_prefix,
        "KAFKA_PARTITIONS": "1",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "TENANTS_FILE": str(tmp_path / "tenants.json"),
        "SPOOL_DIR": str(tmp_path / "spool"),
    }.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def at_work(folder: Path, url: str, before: Before, *, dsn: str) -> AsyncIterator[Work]:
    """`url` is where Pipedrive is, `dsn` leads around what a test may break."""
    (folder / "tenants.json").write_text(json.dumps([a_tenant(url)]))
    settings = IngestSettings()
    async with assembled(settings) as sync, Told(settings, deadline_s=20) as publisher:
        publisher.before = before
        async with sync.store() as conn:
            sync_id, _ = await sync_store.ask(conn, COMPANY, Mode.FULL, "user 1")
        parts = replace(sync.parts, publisher=publisher)
        async with running(Runner(parts, sync.pool).run):
            yield Work(sync_id, dsn)


async def nothing() -> None:
    """Publishes as any publisher."""


async def test_a_process_that_is_stopped_before_its_tables_exist_does_not_wait_for_them(
    environment: None, tmp_path: Path
) -> None:
    (tmp_path / "tenants.json").write_text("[]")
    settings, stop = IngestSettings(), asyncio.Event()
    stop.set()
    async with assembled(settings) as sync:
        before_its_tables = replace(sync, prepared=Prepared(settings))

        async with asyncio.timeout(PATIENCE_S / 2):
            await before_its_tables.run(stop)


async def test_a_sync_that_hangs_is_stuck(
    environment: None, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async with double(limits=Rules(None, None), sizes=SIZES) as pipedrive:
        monkeypatch.setattr(heart, "PATIENCE_S", 6.0)
        async with at_work(tmp_path, pipedrive.url, hang, dsn=database_url):
            await until(lambda: is_stuck(WORK))


async def test_a_sync_that_waits_for_pipedrive_is_not_stuck(
    environment: None, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "PATIENCE_S", 6.0)
    async with at_work(tmp_path, NOBODY, nothing, dsn=database_url) as work:

        async def has_waited_for_long() -> bool:
            assert heart.stuck() == []
            return await work.is_in("waiting")

        await until(has_waited_for_long, 120)
        assert "cannot connect" in ((await work.told()).reason or "")


async def test_a_sync_notices_a_silent_postgres_and_goes_on_when_it_is_back(
    environment: None,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its own connection stays open, and nothing answers any more between two statements."""
    monkeypatch.setattr(db, "ANSWER_S", 3.0)
    monkeypatch.setattr(db, "CONNECT_TIMEOUT_S", 3.0)
    monkeypatch.setattr(heart, "PATIENCE_S", 30.0)
    is_silenced = asyncio.Event()

    async def silence() -> None:
        if not is_silenced.is_set():
            is_silenced.set()
            await link.turn(Weather.HALF_OPEN)

    async def has_noticed() -> bool:
        assert heart.stuck() == []
        return any(record.message == "sync_interrupted" for record in caplog.records)

    async with (
        proxy.before(database_url) as link,
        double(limits=Rules(None, None), sizes=SIZES) as pipedrive,
    ):
        monkeypatch.setenv("DATABASE_URL", proxy.through(database_url, link))
        async with at_work(tmp_path, pipedrive.url, silence, dsn=database_url) as work:
            await until(has_noticed, 120)
            await link.turn(Weather.FAIR)

            await until(lambda: work.is_in("done"), 120)
            assert heart.stuck() == []


async def test_a_webhooks_check_that_waits_for_many_calls_one_by_one_is_not_stuck(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = hooks.door(NOBODY)
    async with double(limits=Rules(None, None), sizes=SIZES) as pipedrive:
        (tmp_path / "tenants.json").write_text(json.dumps([a_tenant(pipedrive.url)]))
        ours, *_ = [await a_webhook(pipedrive, url) for _ in range(11)]
        async with assembled(IngestSettings()) as sync:
            digest = hooks.digest(sync.tenants.get(COMPANY))
            async with sync.store() as conn:
                await connection_store.keep_hook(conn, COMPANY, ours.hook_id, url, digest)
                await conn.execute("UPDATE connections SET hook_checked_at = '-infinity'")
            pipedrive.server.faults = Faults(methods="DELETE", delay_s=0.5)
            monkeypatch.setattr(heart, "PATIENCE_S", 2.0)

            async def is_the_only_one() -> bool:
                assert heart.stuck() == []
                return pipedrive.account.hooks.all() == [ours]

            async with running(Watcher(sync.parts, sync.pool, sync.tenants).run):
                await until(is_the_only_one)


async def a_webhook(pipedrive: Double, url: str) -> Registered:
    account = pipedrive.account
    return await account.hooks.add(
        url=url,
        action="*",
        entity="*",
        name=hooks.NAME,
        user_id=account.user_id,
        version=hooks.VERSION,
        user="hook",
        password="password",
    )
