"""A company of the double whose syncs run in this process, one at a time, when asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import orjson
from pydantic import SecretStr

from devstack.pipedrive.api.double import Double
from devstack.pipedrive.api.tables import Order
from devstack.pipedrive.changes import Id
from devstack.pipedrive.world import Sizes
from services.ingest.calling import calling
from services.ingest.preparing import SCHEMA, Prepared
from services.ingest.settings import IngestSettings
from services.ingest.sync import hearing, role, sync_store
from services.ingest.sync.runner import Runner
from services.ingest.sync.steps import Mode
from services.ingest.sync.sync_store import Sync
from services.ingest.sync.written import Written
from shared.kafka.fencing import FencedPublisher
from shared.kafka.publisher import Publisher, Record
from shared.outbox import Relay
from shared.tenants import Tenants
from shared.topics import OF_ENTITY, OTHER, Topic
from tests.support.commands import COMPANY, a_tenant, double
from tests.support.infra import Infra
from tests.support.loops import running
from tests.support.waiting import until

SIZES = Sizes(2, 4, 2, 1.0)
HEARD = "SELECT sum(next_offset) FROM consumer_offsets"
A_USER = "user 1"


class Told(Publisher):
    """Keeps the events that were published, and fails once with what it is given: at its next use,
    or with its `end` once Kafka has something.
    """

    events: list[dict[str, object]]
    trouble: Exception | None
    end: Exception | None

    async def ping(self, topics: Iterable[Topic] = ()) -> None:
        self._fail()
        await super().ping(topics)

    async def publish(self, records: Sequence[Record]) -> None:
        self._fail()
        await super().publish(records)
        self.events += [orjson.loads(record.value) for record in records]
        if self.end is not None:
            end, self.end = self.end, None
            raise end

    def _fail(self) -> None:
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble

    def ids(self, entity: str) -> set[str]:
        """Of which rows something was published."""
        return {str(each["entity_id"]) for each in self.events if each["entity"] == entity}


class Relayed(FencedPublisher):
    """Keeps what was published of syncs' states."""

    states: list[str]
    versions: list[int]

    async def publish(self, records: Sequence[Record]) -> None:
        await super().publish(records)
        for record in records:
            said = orjson.loads(record.value)
            self.states.append(said["state"])
            self.versions.append(said["version"])


@dataclass(frozen=True, slots=True)
class Company:
    """Connected, and synchronised when it is asked for."""

    sync: role.Sync
    told: Told
    relayed: Relayed
    double: Double
    ended: list[Sync] = field(default_factory=list)

    def first(self, entity: str) -> Id:
        """The row of the double with the lowest id."""
        return next(self.double.account.tables[entity].walk(Order.ID))

    async def syncs(self, cause: str, mode: Mode = Mode.INCREMENTAL) -> str:
        """How it ended."""
        return await self.ends(await self.begins(cause, mode))

    async def begins(self, cause: str, mode: Mode = Mode.INCREMENTAL) -> UUID:
        async with self.sync.store() as conn:
            sync_id, is_own = await sync_store.ask(conn, COMPANY, mode, cause)
        assert is_own
        return sync_id

    async def ends(self, sync_id: UUID) -> str:
        """How it ended."""
        await until(lambda: self._has_ended(sync_id), 30)
        return self.ended[-1].state

    async def stands(self, sync_id: UUID) -> Sync:
        async with self.sync.store() as conn:
            found = await sync_store.one(conn, COMPANY, sync_id)
        assert found is not None
        return found

    async def _has_ended(self, sync_id: UUID) -> bool:
        found = await self.stands(sync_id)
        if found.finished_at is None:
            return False
        self.ended.append(found)
        return True

    async def hears(self) -> None:
        """All that the log has, as far as nobody has heard it yet, as by another process than the
        one that wrote it down.
        """
        another = replace(self.sync, parts=replace(self.sync.parts, written=Written()))
        heard = {topic.name for topic in hearing.TOPICS}
        topics = [OF_ENTITY.get(str(each["entity"]), OTHER).name for each in self.told.events]

        async def is_heard() -> bool:
            async with self.sync.store() as conn:
                return bool(await conn.fetchval(HEARD) == sum(each in heard for each in topics))

        async with running(another.consumer().run):
            await until(is_heard, 30)

    async def last_told(self, state: str) -> None:
        async def is_told() -> bool:
            async with self.sync.store() as conn:
                is_all = not await conn.fetchval("SELECT count(*) FROM outbox")
            return is_all and self.relayed.states[-1:] == [state]

        await until(is_told, 10)


@asynccontextmanager
async def company(
    servers: Infra, database_url: str, redis_url: str, topic_prefix: str, folder: Path
) -> AsyncIterator[Company]:
    """That was read in full."""
    settings = IngestSettings(
        kafka_bootstrap_servers=servers.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=1,
        DATABASE_URL=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        tenants_file=folder / "tenants.json",
        spool_dir=folder / "spool",
    )
    async with double(sizes=SIZES) as pipedrive:
        settings.tenants_file.write_text(json.dumps([a_tenant(pipedrive.url)]))
        async with _synchronised(settings, pipedrive) as made:
            assert await made.syncs(A_USER, Mode.FULL) == "done"
            await made.last_told("idle")
            yield made


@asynccontextmanager
async def assembled(settings: IngestSettings) -> AsyncIterator[role.Sync]:
    """The sync as a process of ingest has it, and what it stands on."""
    tenants = Tenants(settings.tenants_file)
    prepared = Prepared(settings)
    async with (
        calling(settings, tenants) as (budget, clients),
        role.assembled(settings, tenants, budget, clients, prepared) as sync,
    ):
        await prepared.make(asyncio.Event())
        yield sync


@asynccontextmanager
async def _synchronised(settings: IngestSettings, pipedrive: Double) -> AsyncIterator[Company]:
    async with (
        assembled(settings) as sync,
        Told(settings, deadline_s=20) as told,
        Relayed(settings, SCHEMA, deadline_s=20) as relayed,
    ):
        relayed.states, relayed.versions, told.events = [], [], []
        told.trouble = told.end = None
        parts = replace(sync.parts, publisher=told)
        relay = Relay(settings.database_url.get_secret_value(), SCHEMA, relayed)
        async with running(Runner(parts, sync.pool).run, relay.run):
            yield Company(sync, told, relayed, pipedrive)
