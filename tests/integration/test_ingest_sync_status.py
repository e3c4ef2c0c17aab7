"""What the pages are told of a company's sync, when one fails and the next finds nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from pydantic import SecretStr

from devstack.pipedrive.world import Sizes
from services.ingest.settings import IngestSettings
from services.ingest.sync import role, status, sync_store
from services.ingest.sync.runner import Runner
from services.ingest.sync.schedule import BY_THE_CLOCK
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Sync
from shared import service
from shared.errors import Poison
from shared.kafka.publisher import Publisher, Record
from shared.tenants import Tenants
from shared.topics import SYNC_STATUS
from tests.integration.test_liveness import running
from tests.support.commands import COMPANY, a_tenant, double
from tests.support.infra import Infra
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SIZES = Sizes(2, 4, 2, 1.0)
A_USER = "user 1"


class Told(Publisher):
    """Keeps the states that were published, and fails once with what it is given."""

    states: list[str]
    trouble: Exception | None

    async def publish(self, records: Sequence[Record]) -> None:
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        await super().publish(records)
        self.states += [
            orjson.loads(record.value or b"")["state"]
            for record in records
            if record.topic == SYNC_STATUS.name
        ]


@dataclass(frozen=True, slots=True)
class Company:
    """Connected, and synchronised when it is asked for."""

    sync: role.Sync
    told: Told
    ended: list[Sync] = field(default_factory=list)

    async def syncs(self, cause: str, mode: Mode = Mode.INCREMENTAL) -> str:
        """How it ended."""
        async with self.sync.store() as conn:
            sync_id, is_own = await sync_store.ask(conn, COMPANY, mode, cause)
        assert is_own
        await until(lambda: self._has_ended(sync_id))
        return self.ended[-1].state

    async def _has_ended(self, sync_id: UUID) -> bool:
        async with self.sync.store() as conn:
            found = await sync_store.one(conn, COMPANY, sync_id)
        if found is None or found.finished_at is None:
            return False
        self.ended.append(found)
        return True

    async def last_told(self, state: str) -> None:
        async def is_told() -> bool:
            return self.told.states[-1:] == [state]

        await until(is_told, 10)


@pytest.fixture
async def company(
    infra: Infra,
    topic_prefix: str,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Company]:
    """That was read in full, in an hour that does not end."""
    monkeypatch.setattr(status, "_is_same_hour", lambda *_: True)
    settings = IngestSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=1,
        DATABASE_URL=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        tenants_file=tmp_path / "tenants.json",
        spool_dir=tmp_path / "spool",
    )
    async with double(sizes=SIZES) as pipedrive:
        settings.tenants_file.write_text(json.dumps([a_tenant(pipedrive.url)]))
        async with _synchronised(settings) as made:
            assert await made.syncs(A_USER, Mode.FULL) == "done"
            await made.last_told("idle")
            yield made


@asynccontextmanager
async def _synchronised(settings: IngestSettings) -> AsyncIterator[Company]:
    stop = asyncio.Event()
    async with (
        role.assembled(settings, Tenants(settings.tenants_file)) as sync,
        Told(settings, deadline_s=20) as told,
    ):
        told.states, told.trouble = [], None
        await sync.prepare(stop)
        await service.prepare_topics(settings, role.TOPICS, stop)
        parts = replace(sync.parts, publisher=told)
        async with running(Runner(parts, sync.pool).run):
            yield Company(sync, told)


async def test_a_sync_by_the_clock_that_finds_nothing_says_so_once_an_hour(
    company: Company,
) -> None:
    before = list(company.told.states)

    assert await company.syncs(BY_THE_CLOCK) == "done"

    assert company.told.states == before


@pytest.mark.parametrize("trouble", [Poison("no"), RuntimeError("a bug")])
async def test_a_failure_is_told_and_so_is_its_end_though_nothing_was_found_in_the_same_hour(
    company: Company, trouble: Exception
) -> None:
    company.told.trouble = trouble
    assert await company.syncs(A_USER) == "failed"
    await company.last_told("failed")

    assert await company.syncs(BY_THE_CLOCK) == "done"

    await company.last_told("idle")


async def test_whoever_dies_before_writing_down_that_idle_was_told_tells_it_again(
    company: Company,
) -> None:
    async with company.sync.store() as conn:
        await conn.execute("UPDATE connections SET told_idle = false")
    before = list(company.told.states)

    assert await company.syncs(BY_THE_CLOCK) == "done"
    assert await company.syncs(BY_THE_CLOCK) == "done"

    assert company.told.states == [*before, "idle"]
