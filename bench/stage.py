"""What benchmarks run on: fresh servers, the four services, and CPU accounting."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from bench.bodies import COMPANY
from devstack.stack import ANY_PORTS, Stack
from shared import db, service
from tests.support.cluster import ROOT, Cluster

HOME = ROOT / ".local" / "kafka"
HOOK = ("bench", "bench-password")
TENANT = {"company_id": COMPANY, "webhook_user": HOOK[0], "webhook_password": HOOK[1]}


@asynccontextmanager
async def servers() -> AsyncIterator[Stack]:
    """Servers of their own under a temporary folder; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="my500-bench-") as folder:
        root = Path(folder)
        os.chmod(root, 0o755)  # noqa: PTH101, S103  Postgres runs as another user where we are root
        stack = Stack(root / "stack", home=HOME, wanted_ports=ANY_PORTS)
        try:
            await asyncio.to_thread(stack.start)
            yield stack
        finally:
            await asyncio.to_thread(stack.stop)


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[Cluster, Stack]]:
    """The services, none running yet, on servers of their own."""
    async with servers() as stack:
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": stack.urls.kafka,
            "DATABASE_URL": stack.urls.database,
            "REDIS_URL": stack.urls.redis,
            "LOG_LEVEL": "WARNING",
        }
        with tempfile.TemporaryDirectory(prefix="my500-bench-") as folder:
            async with Cluster(Path(folder), environment) as running:
                running.write_tenants([TENANT])
                yield running, stack


@asynccontextmanager
async def scratch_schema(dsn: str, schema: str, migrations: Path) -> AsyncIterator[db.Connection]:
    """Tables of a service in a schema of its own, empty, and dropped at the end."""
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await service.prepare_store(dsn, schema, migrations, asyncio.Event())
        try:
            yield conn
        finally:
            await conn.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await conn.close()


def cpu_seconds(running: Cluster, stack: Stack) -> dict[str, float]:
    """CPU time used so far, by service and by server, children included."""
    processes = [(i.service, psutil.Process(i.process.pid)) for i in running.instances]
    for name in ("postgres", "valkey", "kafka"):
        found = stack.process(name)
        if found is not None:
            processes.append((name, found))
    used: dict[str, float] = {}
    for name, process in processes:
        used[name] = used.get(name, 0.0) + _cpu(process)
    return used


def _cpu(process: psutil.Process) -> float:
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    own = process.cpu_times()
    return total + own.children_user + own.children_system


def shares(before: dict[str, float], after: dict[str, float]) -> str:
    """CPU spent in between, as a table of seconds and percent."""
    spent = {name: after[name] - before[name] for name in after}
    total = sum(spent.values()) or 1.0
    rows = sorted(spent.items(), key=lambda item: -item[1])
    return "\n".join(f"  {name:<10}{cpu:7.2f} s  {cpu / total:4.0%}" for name, cpu in rows)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
