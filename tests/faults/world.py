"""The system under test: the services as processes, with breakable networks to their servers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.ingest.spool.file import NAME
from services.ingest.spool.rescue import CURRENT
from tests.faults import falling
from tests.faults.plan import INSTANCES, SERVERS
from tests.support import proxy
from tests.support.cluster import Cluster, Instance, variables
from tests.support.infra import Infra
from tests.support.pipe import COMPANY, a_tenant
from tests.support.proxy import Proxy, Weather

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
"""Steps the clock of one process; where it is not installed, clocks are left alone."""


@dataclass(slots=True)
class World:
    infra: Infra
    cluster: Cluster
    links: Mapping[str, Proxy]
    spool_bytes: int
    """Most that ingest may keep."""
    instances: dict[str, Instance] = field(default_factory=dict)

    async def start(self, name: str, port: int = 0) -> Instance:
        """An instance by its name, as `orgs-2`; `port` is that of its former life."""
        service = name.split("-", maxsplit=1)[0]
        if service == "ingest":
            environment = {"SPOOL_MAX_BYTES": str(self.spool_bytes)}
        else:
            environment = self._clock_of(name) if FAKETIME else {}
        instance = self.cluster.start(service, port=port, **environment)
        self.instances[name] = instance
        return instance

    async def start_again(self, name: str) -> Instance:
        return await self.start(name, self.instances[name].port)

    def check(self) -> None:
        """Raises:
        AssertionError: a process ended by itself, or an error was handled by nobody.
        """
        found = falling.fallen(self.cluster.instances, self.instances.values())
        for log in sorted({instance.log for instance in self.cluster.instances}):
            text = log.read_text(errors="replace")
            found += [f"{log.name}: {error}" for error in falling.unhandled(text)]
        if found:
            raise AssertionError("; ".join(found))

    async def ready(self) -> None:
        for instance in self.instances.values():
            await self.cluster.ready(instance)

    async def heal(self) -> None:
        """Whatever a scenario left broken."""
        for link in self.links.values():
            await link.turn(Weather.FAIR)
        for name in SERVERS:
            await asyncio.to_thread(self.infra.start, name)
            await asyncio.to_thread(self.infra.thaw, name)
        for name, instance in list(self.instances.items()):
            instance.process.send_signal(signal.SIGCONT)
            if instance.process.poll() is not None:
                await self.start_again(name)
        for name in self.instances:
            if FAKETIME:
                self.set_clock(name, 0)

    def spool_files(self) -> list[Path]:
        return sorted(self.cluster.folder.glob(f"spool/*/*/{CURRENT}/{NAME}"))

    def set_clock(self, name: str, seconds: int) -> None:
        """How far the clock of an instance is ahead from about a second on."""
        self._clock_file(name).write_text(f"{seconds:+d}s\n")

    def _clock_file(self, name: str) -> Path:
        return self.cluster.folder / f"{name}.clock"

    def _clock_of(self, name: str) -> dict[str, str]:
        if not self._clock_file(name).exists():
            self.set_clock(name, 0)
        return {
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock_file(name)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@asynccontextmanager
async def running(
    infra: Infra, urls: tuple[str, str], prefix: str, folder: Path, *, spool_bytes: int
) -> AsyncIterator[World]:
    """All instances, ready; ended when the block ends. `urls` are Postgres' and Valkey's."""
    database_url, redis_url = urls
    async with AsyncExitStack() as held:
        links = {
            "postgres": await held.enter_async_context(proxy.before(database_url)),
            "valkey": await held.enter_async_context(proxy.before(redis_url)),
        }
        names = variables(
            infra.kafka,
            proxy.through(database_url, links["postgres"]),
            proxy.through(redis_url, links["valkey"]),
            prefix,
            partitions=3,
        ) | {"SPOOL_DIR": str(folder / "spool")}
        cluster = await held.enter_async_context(Cluster(folder, names))
        tenant: dict[str, Any] = a_tenant(COMPANY)
        cluster.write_tenants([tenant])
        world = World(infra, cluster, links, spool_bytes)
        for name in INSTANCES:
            await world.start(name)
        await world.ready()
        try:
            yield world
        finally:
            await world.heal()
