"""The four services as processes, as operations would run them, on servers of the tests."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import jwt

from devstack import ports
from tests.support.infra import Infra, empty_redis, new_topics
from tests.support.waiting import answers, until

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-at-least-thirty-two-bytes!"
SERVICES = ("ingest", "orgs", "scoring", "query")
PARTITIONS = 3
READY_S = 120.0
STOP_S = 30.0


def token(company_id: int, user_id: str, **claims: Any) -> str:
    whole = {"sub": user_id, "company_id": company_id, "exp": int(time.time()) + 3600, **claims}
    return jwt.encode(whole, SECRET, algorithm="HS256")


def variables(
    kafka: str, database_url: str, redis_url: str, prefix: str, *, partitions: int
) -> dict[str, str]:
    """What names the servers, and topics and groups of one's own on them."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_GROUP_PREFIX": prefix + "my500",
        "KAFKA_PARTITIONS": str(partitions),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }


@dataclass
class Instance:
    """One process of one service."""

    service: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit status. The caller's loop goes on: what the process still has to ask
        may be a double or a relay that lives in it.
        """
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, STOP_S)


@dataclass
class Cluster:
    """Starts instances; ends those that are left when the block ends."""

    folder: Path
    environment: Mapping[str, str]
    instances: list[Instance] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64), timeout=aiohttp.ClientTimeout(total=20)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        for instance in self.instances:
            if instance.process.poll() is None:
                instance.process.terminate()
        for instance in self.instances:
            try:
                await asyncio.to_thread(instance.process.wait, STOP_S)
            except subprocess.TimeoutExpired:
                instance.kill()

    def write_tenants(self, tenants: Sequence[Mapping[str, Any]]) -> None:
        (self.folder / "tenants.json").write_text(json.dumps(tenants))

    def start(self, service: str, *roles: str, port: int = 0, **environment: str) -> Instance:
        """On a free port, unless one is named; `environment` is for this instance alone."""
        port = port or ports.free()
        log = self.folder / f"{service}-{port}.log"
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        whole = {
            **inherited,
            "JWT_SECRET": SECRET,
            "TENANTS_FILE": str(self.folder / "tenants.json"),
            "SPOOL_DIR": str(self.folder / "spool"),
            "PORT": str(port),
            "HOST": "127.0.0.1",
            # Nobody is called whom the machine's authorities vouch for: to read all of them takes
            # a twentieth of a start.
            "SSL_CERT_FILE": os.devnull,
            **self.environment,
            **environment,
        }
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}", *roles],
                cwd=ROOT,
                env=whole,
                stdout=out,
                stderr=out,
            )
        instance = Instance(service, port, process, log)
        self.instances.append(instance)
        return instance

    async def start_all(self) -> dict[str, Instance]:
        started = {service: self.start(service) for service in SERVICES}
        for instance in started.values():
            await self.ready(instance)
        return started

    async def ready(self, instance: Instance) -> None:
        async def is_ready() -> bool:
            status = instance.process.poll()
            assert status is None, f"{instance.service} ended: {instance.log.read_text()[-3000:]}"
            return await answers(self.http, f"{instance.url}/readyz")

        await until(is_ready, READY_S)

    async def get(self, url: str, company_id: int, user_id: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token(company_id, user_id)}"}
        async with self.http.get(url, headers=headers) as response:
            return response.status, await response.json()


@asynccontextmanager
async def on(infra: Infra, database_url: str, folder: Path) -> AsyncIterator[Cluster]:
    """Without tenants, and with topics and a Redis database of its own."""
    redis_url = empty_redis(infra)
    async with new_topics(infra) as prefix:
        names = variables(infra.kafka, database_url, redis_url, prefix, partitions=PARTITIONS)
        async with Cluster(folder, names) as cluster:
            cluster.write_tenants([])
            yield cluster
