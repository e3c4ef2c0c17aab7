"""Runs the whole system in the foreground: servers, services, and the Pipedrive double.

Rule 1: one run per checkout.
Rule 2: a child that dies ends the run, with the tail of its log.
Rule 3: however the run ends, it ends its children in the order double, services, servers.
"""

import os
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devstack import environment, ports, processes
from devstack.errors import Cancelled, StackError
from devstack.stack import Stack

READY_S = 120.0
GRACE_S = 10.0
POLL_S = 0.1
PROBE_S = 2.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Program:
    """A module that listens on its own port and shows on /readyz when it is ready."""

    name: str
    module: str
    port: int


SERVICES = (
    Program("ingest", "services.ingest", 8081),
    Program("orgs", "services.orgs", 8082),
    Program("scoring", "services.scoring", 8083),
    Program("query", "services.query", 8080),
)


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    process: psutil.Process
    log: Path | None


@dataclass(slots=True)
class Run:
    local: Path
    say: Callable[[str], None]
    stopping: threading.Event
    urls: dict[str, str] = field(default_factory=dict)
    _children: list[Child] = field(default_factory=list)

    def serve(self, programs: Sequence[Program], values: Mapping[str, str]) -> None:
        """Start them all, then wait for each to be ready."""
        for program in programs:
            self._choose_port(program)
        # They must find one another at their ports, and the double must find ingest.
        found = {f"{name.upper()}_URL": url for name, url in self.urls.items()}
        if "ingest" in self.urls:
            found["PUBLIC_URL"] = environment.public_url(values, self.urls["ingest"])
        for program in programs:
            self._serve(program, {**values, **found})
        begun = time.monotonic()
        for program in programs:
            self._wait_ready(program.name, f"{self.urls[program.name]}/readyz", begun)
            self.say(f"{program.name}: ready, {self.urls[program.name]}")

    def attach(self, name: str, arguments: Sequence[str], values: Mapping[str, str]) -> None:
        """Start a child that writes to our own output."""
        self._spawn(name, arguments, values, log=None)

    def perform(self, name: str, arguments: Sequence[str], values: Mapping[str, str]) -> None:
        """Run a child that writes to our own output, and wait for its end."""
        child = self._spawn(name, arguments, values, log=None)
        while processes.is_alive(child.process):
            self._raise_if_one_died(besides=child)
            if self.stopping.wait(POLL_S):
                raise Cancelled(f"stopped during {name}")
        self._children.remove(child)
        (_pid_folder(self.local) / f"{name}.pid").unlink(missing_ok=True)
        code = processes.exit_code(child.process)
        if code:
            raise StackError(f"{name} ended with {code}")

    def wait_for(self, name: str, url: str) -> None:
        """Until it answers there."""
        self._wait_ready(name, url, time.monotonic())

    def watch(self) -> None:
        """Wait for a stop request; a child that dies raises an error."""
        while not self.stopping.wait(POLL_S):
            self._raise_if_one_died()

    def end(self) -> None:
        """Stop in reverse order; the services, which started together, together."""
        attached = [child for child in self._children if child.log is None]
        services = [child for child in self._children if child.log is not None]
        for group in (attached, services):
            ending = [threading.Thread(target=self._end, args=(child,)) for child in group]
            for thread in ending:
                thread.start()
            for thread in ending:
                thread.join()
        self._children.clear()

    def _choose_port(self, program: Program) -> None:
        port = program.port
        if not ports.is_free(port):
            taken = frozenset(int(url.rpartition(":")[2]) for url in self.urls.values())
            port = ports.free(besides=taken)
            self.say(f"{program.name}: port {program.port} is taken, using {port}")
        self.urls[program.name] = f"http://{ports.HOST}:{port}"

    def _serve(self, program: Program, values: Mapping[str, str]) -> None:
        port = self.urls[program.name].rpartition(":")[2]
        self._spawn(
            program.name,
            ["-m", program.module],
            # Its own graceful stop must fit into the time it gets here.
            {**values, "PORT": port, "STOP_SECONDS": str(GRACE_S - 1)},
            log=self.local / "log" / f"{program.name}.log",
        )

    def _spawn(
        self, name: str, arguments: Sequence[str], values: Mapping[str, str], *, log: Path | None
    ) -> Child:
        process = processes.spawn(
            [*_ends_with_us(), sys.executable, *arguments],
            log=log,
            pid_file=_pid_folder(self.local) / f"{name}.pid",
            environment={**os.environ, **values, "PYTHONUNBUFFERED": "1"},
        )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def _wait_ready(self, name: str, url: str, begun: float) -> None:
        while not _answers(url):
            self._raise_if_one_died()
            if self.stopping.wait(POLL_S):
                raise Cancelled("stopped while the services started")
            if time.monotonic() > begun + READY_S:
                log = self.local / "log" / f"{name}.log"
                told = f"\n{processes.tail(log)}" if log.exists() else ""
                raise StackError(f"{name} is not ready{told}")

    def _raise_if_one_died(self, besides: Child | None = None) -> None:
        for child in self._children:
            if child is not besides and not processes.is_alive(child.process):
                code = processes.exit_code(child.process)
                told = "" if child.log is None else f"\n{processes.tail(child.log)}"
                raise StackError(f"{child.name} ended with {code}{told}")

    def _end(self, child: Child) -> None:
        if not processes.is_alive(child.process):
            return
        if processes.end(child.process, how=signal.SIGTERM, grace_s=GRACE_S):
            self.say(f"{child.name}: stopped")
        else:
            self.say(f"{child.name}: killed, it did not stop in {GRACE_S:.0f} s")
        (_pid_folder(self.local) / f"{child.name}.pid").unlink(missing_ok=True)


@contextmanager
def started(
    local: Path, stack: Stack, *, say: Callable[[str], None], stopping: threading.Event
) -> Iterator[tuple[Run, dict[str, str]]]:
    """The servers and a run without programs; everything is stopped at the end."""
    refusal = "already running in this checkout; `make stack-down` ends that run"
    with processes.locked(local / "run.lock", refusal=refusal):
        me = local / "run.pid"
        processes.remember(psutil.Process(), me)
        run = Run(local, say, stopping)
        try:
            end_leftovers(local, say=say)
            yield run, environment.write(local, stack.start())
        finally:
            run.end()
            stack.stop()
            me.unlink()


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """SIGINT, SIGTERM and SIGHUP set the event, at any time and any number of times."""
    asked = threading.Event()
    kept = {one: signal.signal(one, lambda *_: asked.set()) for one in _STOPS}
    try:
        yield asked
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)


def end_other_run(local: Path) -> bool:
    """Ask a run in another shell to end, and wait for it."""
    run = processes.find(local / "run.pid")
    return run is not None and processes.end(run, how=signal.SIGTERM, grace_s=60)


def end_leftovers(local: Path, *, say: Callable[[str], None]) -> None:
    """Children of a run that was killed."""
    for pid_file in sorted(_pid_folder(local).glob("*.pid")):
        process = processes.find(pid_file)
        if process is not None:
            processes.end(process, how=signal.SIGTERM, grace_s=GRACE_S)
            say(f"{pid_file.stem}: stopped, left over from a run that was killed")
        pid_file.unlink()


def _pid_folder(local: Path) -> Path:
    return local / "run"


def _ends_with_us() -> tuple[str, ...]:
    """On Linux a child can be made to end when its parent is killed."""
    return ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_S) as response:  # noqa: S310 - http, ours
            return bool(response.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False
