"""Manages the three servers together: PostgreSQL, Valkey and Kafka in one folder.

Rule 1: `start` is idempotent: it starts what is not running, and keeps all state.
Rule 2: a running server is found again by its pid file, from any process.
Rule 3: a chosen port is kept, unless another process took it while the server was down.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack import ports, postgres, processes, valkey
from devstack.errors import Cancelled, StackError
from devstack.kafka import broker, install
from devstack.kafka.home import Home
from devstack.processes import never
from devstack.servers import Place, Server

NAMES = ("postgres", "valkey", "kafka")
DEFAULT_PORTS: Mapping[str, int | None] = {
    "postgres": 25432,
    "valkey": 26379,
    "kafka": 29092,
    "controller": 29093,
}
ANY_PORTS: Mapping[str, int | None] = dict.fromkeys(DEFAULT_PORTS)
READY_S = 120.0
GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Urls:
    kafka: str
    database: str
    redis: str


def silent(_: str) -> None:
    """Says nothing."""


class Stack:
    def __init__(
        self,
        root: Path,
        *,
        home: Path,
        wanted_ports: Mapping[str, int | None] = DEFAULT_PORTS,
        say: Callable[[str], None] = silent,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self._root = root.resolve()
        self._home = Home(home.resolve())
        self._wanted = wanted_ports
        self._say = say
        self._cancelled = cancelled

    def start(self) -> Urls:
        with processes.locked(self._root / "lock"):
            self._start([name for name in NAMES if self.process(name) is None])
        return self.urls

    def start_one(self, name: str) -> None:
        with processes.locked(self._root / "lock"):
            self._start([name] if self.process(name) is None else [])

    def stop(self) -> None:
        with processes.locked(self._root / "lock"), ThreadPoolExecutor(len(NAMES)) as pool:
            list(pool.map(self._stop, NAMES))

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would."""
        process = self.process(name)
        if process is None:
            raise StackError(f"{name} is not running")
        processes.kill(process)

    def process(self, name: str) -> psutil.Process | None:
        return processes.find(self._pid_file(name))

    @property
    def urls(self) -> Urls:
        chosen = ports.remembered(self._memory)
        if not chosen:
            raise StackError("the servers were never started here")
        return Urls(
            kafka=broker.url(chosen["kafka"]),
            database=postgres.url(self._place("postgres"), chosen["postgres"]),
            redis=valkey.url(chosen["valkey"]),
        )

    def log(self, name: str) -> Path:
        return self._root / "log" / f"{name}.log"

    def _start(self, names: list[str]) -> None:
        if not names:
            return
        if "kafka" in names:
            install.ensure(self._home, say=self._say, cancelled=self._cancelled)
        needed = [*names, *(["controller"] if "kafka" in names else [])]
        known = ports.remembered(self._memory)
        chosen = known | ports.choose(
            {name: self._wanted[name] for name in needed}, memory=self._memory
        )
        self._say_moved(chosen, needed)
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(self._bring_up, [self._server(name, chosen) for name in names]))

    def _bring_up(self, server: Server) -> None:
        begun = time.monotonic()
        server.prepare()
        log = self.log(server.name)
        process = processes.spawn(server.command, log=log, pid_file=self._pid_file(server.name))
        while not server.is_ready():
            if self._cancelled():
                self._stop(server.name)
                raise Cancelled(f"{server.name} was stopped while it started")
            if not processes.is_alive(process):
                raise StackError(f"{server.name} ended as it started\n{processes.tail(log)}")
            if time.monotonic() > begun + READY_S:
                raise StackError(f"{server.name} is not ready\n{processes.tail(log)}")
            time.sleep(processes.POLL_S)
        server.finish()
        self._say(f"{server.name}: ready in {time.monotonic() - begun:.1f} s")

    def _stop(self, name: str) -> None:
        process = self.process(name)
        if process is None:
            return
        how = self._server(name, ports.remembered(self._memory)).stop_signal
        if processes.end(process, how=how, grace_s=GRACE_S):
            self._say(f"{name}: stopped")
        else:
            self._say(f"{name}: killed, it did not stop in {GRACE_S:.0f} s")
        self._pid_file(name).unlink(missing_ok=True)

    def _server(self, name: str, chosen: Mapping[str, int]) -> Server:
        place = self._place(name)
        if name == "postgres":
            return postgres.server(place, chosen[name])
        if name == "valkey":
            return valkey.server(place, chosen[name])
        return broker.server(
            self._home, place, port=chosen[name], controller_port=chosen["controller"]
        )

    def _place(self, name: str) -> Place:
        return Place(self._root / name, self.log(name), self._cancelled)

    def _say_moved(self, chosen: Mapping[str, int], names: list[str]) -> None:
        for name in names:
            default = self._wanted[name]
            if default is not None and chosen[name] != default:
                self._say(f"{name}: port {default} is or was taken, using {chosen[name]}")

    def _pid_file(self, name: str) -> Path:
        return self._root / "run" / f"{name}.pid"

    @property
    def _memory(self) -> Path:
        return self._root / "ports.json"
