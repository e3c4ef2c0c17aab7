"""How many webhooks per second ingest stores, against a bare handler that only reads the body.

Both run as processes and are loaded alternately by wrk over 64 connections, so that other load on
the machine affects both. Needs wrk (`make bench-tools`) and Kafka: KAFKA_BOOTSTRAP_SERVERS, from
the environment or from `.local/env`.

With `--connected` the company counts as connected to Pipedrive, so the sync role of the same
process reads from the log what the door stores; DATABASE_URL is needed, too.

Usage: python -m bench.ingest [--rounds 6] [--seconds 4] [--connected]
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from devstack.ports import free

ROOT = Path(__file__).parent.parent
LUA = ROOT / "bench" / "webhooks.lua"
CONNECTIONS = 64
BODIES = 1_000
COMPANY = 8_087_566
USER, PASSWORD = "bench", "bench-password"
READY_S = 60.0
BAR = 0.5
IDLE_S = 0.5
IDLE_CPU_S = 0.05
CONNECT = """
INSERT INTO ingest.connections (company_id, since) VALUES ($1, now()) ON CONFLICT DO NOTHING
"""
DISCONNECT = "DELETE FROM ingest.connections WHERE company_id = $1"


@dataclass(frozen=True, slots=True)
class Figures:
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """The server's, per request, until it is idle: hardly affected by other load on the
    machine.
    """
    failed: int


def person(number: int) -> dict[str, object]:
    return {
        "id": number,
        "name": f"Person Number {number}",
        "first_name": "Person",
        "last_name": f"Number {number}",
        "emails": [{"label": "work", "value": f"p{number}@firm.example", "primary": True}],
        "phones": [{"label": "work", "value": f"+372 5550 {number:04}", "primary": True}],
        "label": None,
        "label_ids": [3],
        "org_id": number // 5 + 1,
        "owner_id": 12_415_231,
        "add_time": "2026-01-24T13:18:55Z",
        "update_time": "2026-05-27T06:54:41Z",
        "visible_to": "3",
        "custom_fields": {},
    }


def body(number: int) -> bytes:
    meta = {
        "action": "change",
        "change_source": "app",
        "company_id": str(COMPANY),
        "correlation_id": str(uuid.uuid4()),
        "entity": "person",
        "entity_id": str(number),
        "id": str(uuid.uuid4()),
        "is_bulk_edit": False,
        "timestamp": "2026-05-27T06:54:41.426Z",
        "type": "general",
        "user_id": "12415231",
        "version": "2.0",
        "webhook_id": "4710827",
        "webhook_owner_id": "12094821",
        "permitted_user_ids": ["12415231"],
        "attempt": 1,
        "host": "bench.pipedrive.com",
    }
    told = {"data": person(number), "previous": {"name": "Somebody"}, "meta": meta}
    return json.dumps(told).encode()


def environment(folder: Path) -> dict[str, str]:
    """This process's environment over `.local/env`, with a tenant and topics of our own."""
    known: dict[str, str] = {}
    local = ROOT / ".local" / "env"
    if local.exists():
        lines = (line.removeprefix("export ") for line in local.read_text().splitlines())
        pairs = (line.partition("=") for line in lines if "=" in line)
        known = {name: value.strip("'\"") for name, _, value in pairs}
    tenants = folder / "tenants.json"
    tenant = {"company_id": COMPANY, "webhook_user": USER, "webhook_password": PASSWORD}
    tenants.write_text(json.dumps([tenant]))
    ours = {
        "TENANTS_FILE": str(tenants),
        "SPOOL_DIR": str(folder / "spool"),
        "KAFKA_TOPIC_PREFIX": "bench.",
        "HOST": "127.0.0.1",
    }
    return known | os.environ | ours


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, env=env, cwd=ROOT)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_served(url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  our own
        except urllib.error.HTTPError as error:
            if error.code in (404, 405):  # the bare handler has no health page
                return
        except OSError:
            pass  # not listening yet
        else:
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer 200 within {READY_S:.0f} s")


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def wait_until_idle(process: psutil.Process) -> None:
    """Work that a request leaves for later counts, too."""
    used = cpu_seconds(process)
    while True:
        time.sleep(IDLE_S)
        before, used = used, cpu_seconds(process)
        if used - before < IDLE_CPU_S:
            return


async def execute(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(statement, COMPANY)
    finally:
        await conn.close()


@contextmanager
def connected(env: dict[str, str]) -> Iterator[None]:
    """Once ingest's tables exist."""
    asyncio.run(execute(env["DATABASE_URL"], CONNECT))
    try:
        yield
    finally:
        asyncio.run(execute(env["DATABASE_URL"], DISCONNECT))


def drive(port: int, server: psutil.Process, bodies: Path, seconds: int) -> Figures:
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(LUA)]
    target = [f"http://127.0.0.1:{port}", "--", str(bodies), f"Basic {credentials}"]
    before = cpu_seconds(server)
    done = subprocess.run([*command, *target], capture_output=True, check=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    wait_until_idle(server)
    return Figures(
        per_second=found["requests"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        cpu_us=(cpu_seconds(server) - before) / found["requests"] * 1e6,
        failed=found["failed"],
    )


def show(name: str, figures: Figures) -> None:
    print(
        f"{name:>6}  {figures.per_second:8.0f} requests/s"
        f"  p50 {figures.p50_ms:6.2f} ms  p99 {figures.p99_ms:6.2f} ms"
        f"  cpu {figures.cpu_us:5.1f} us  failed {figures.failed}",
        flush=True,
    )


def median(rounds: list[Figures]) -> Figures:
    return Figures(
        statistics.median(each.per_second for each in rounds),
        statistics.median(each.p50_ms for each in rounds),
        statistics.median(each.p99_ms for each in rounds),
        statistics.median(each.cpu_us for each in rounds),
        sum(each.failed for each in rounds),
    )


def measure(rounds: int, seconds: int, *, is_connected: bool) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {"bare": [], "ingest": []}
    ports = {name: free() for name in found}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bodies = folder / "bodies"
        bodies.write_bytes(b"\n".join(body(number) for number in range(1, BODIES + 1)))
        env = environment(folder)
        commands = {
            "bare": [sys.executable, "-m", "bench.bare", str(ports["bare"])],
            "ingest": [sys.executable, "-m", "services.ingest"],
        }
        servers = {
            name: stack.enter_context(running(command, env | {"PORT": str(ports[name])}))
            for name, command in commands.items()
        }
        for name, port in ports.items():
            wait_until_served(f"http://127.0.0.1:{port}/readyz")
            drive(port, servers[name], bodies, 1)
        if is_connected:
            stack.enter_context(connected(env))
            drive(ports["ingest"], servers["ingest"], bodies, seconds)
        for _ in range(rounds):
            for name, port in ports.items():
                found[name].append(drive(port, servers[name], bodies, seconds))
                show(name, found[name][-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connected", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.rounds, chosen.seconds, is_connected=chosen.connected)
    print(f"median of {chosen.rounds} rounds of {chosen.seconds} s, {CONNECTIONS} connections:")
    for name, figures in found.items():
        show(name, median(figures))
    pairs = zip(found["ingest"], found["bare"], strict=True)
    ratios = sorted(ours.per_second / bare.per_second for ours, bare in pairs)
    print(f"ratio of each round: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    print(f"median ratio {statistics.median(ratios):.3f} (bar {BAR})")
    spent = median(found["bare"]).cpu_us / median(found["ingest"]).cpu_us
    print(f"ratio of CPU time {spent:.3f}")


if __name__ == "__main__":
    main()
