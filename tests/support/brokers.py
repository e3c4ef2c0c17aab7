"""Several Kafka brokers as one cluster, each of which a test may break by itself."""

import re
import secrets
import shutil
import signal
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devstack import ports, processes
from devstack.kafka import broker, install
from devstack.kafka.home import Home

HEAP = "192m"
READY_S = 90.0
GRACE_S = 30.0
OF_A_CLUSTER: Mapping[str, str] = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # Leaders move back only when a test has them moved.
    "auto.leader.rebalance.enable": "false",
}


@dataclass(slots=True)
class Brokers:
    """Nodes are numbered from 1. Those that have a port as a controller vote: without most of them
    nothing is decided, no leader either. The calls block.
    """

    home: Home
    root: Path
    ports: Mapping[int, int]
    controllers: Mapping[int, int]
    more: Mapping[str, str]
    processes: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def urls(self) -> str:
        return ",".join(broker.url(port) for port in self.ports.values())

    def start(self, *nodes: int) -> None:
        """Return when each of them may lead partitions."""
        for node in nodes:
            self.processes[node] = processes.spawn(
                (
                    *self.home.java(heap=HEAP, log=self.log(node)),
                    "kafka.Kafka",
                    str(self._prepared(node)),
                ),
                log=self.log(node),
            )
        deadline = time.monotonic() + READY_S
        for node in nodes:
            while not broker.lists_a_broker(self.ports[node]):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"broker {node}\n{processes.tail(self.log(node))}")
                time.sleep(processes.POLL_S)

    def kill(self, node: int) -> None:
        processes.kill(self.processes.pop(node))

    def stop(self, node: int) -> None:
        """In order: leaders move before it ends."""
        processes.end(self.processes.pop(node), how=signal.SIGTERM, grace_s=GRACE_S)

    def send(self, node: int, number: signal.Signals) -> None:
        self.processes[node].send_signal(number)

    def log(self, node: int) -> Path:
        return self.root / f"broker-{node}.log"

    def _prepared(self, node: int) -> Path:
        folder = self.root / f"broker-{node}"
        text = "".join(f"{key}={value}\n" for key, value in self._settings(node).items())
        if not folder.exists():
            shutil.copytree(self.home.formatted, folder / "data")
            meta = folder / "data" / "meta.properties"
            own = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            told = re.sub(r"node\.id=\d+", f"node.id={node}", meta.read_text())
            meta.write_text(re.sub(r"directory\.id=\S+", f"directory.id={own}", told))
        (folder / "server.properties").write_text(text)
        return folder / "server.properties"

    def _settings(self, node: int) -> dict[str, str]:
        listener = broker.url(self.ports[node])
        voters = (f"{one}@{broker.url(port)}" for one, port in self.controllers.items())
        votes = node in self.controllers
        voting = f",CONTROLLER://{broker.url(self.controllers[node])}" if votes else ""
        return {
            **broker.SETTINGS,
            **OF_A_CLUSTER,
            "process.roles": "broker,controller" if votes else "broker",
            "node.id": str(node),
            "listeners": f"PLAINTEXT://{listener}{voting}",
            "advertised.listeners": f"PLAINTEXT://{listener}",
            "controller.quorum.voters": ",".join(voters),
            "log.dirs": str(self.root / f"broker-{node}" / "data"),
            **self.more,
        }


@contextmanager
def running(
    home: Path, root: Path, *, count: int = 3, voters: int = 1, **more: str
) -> Iterator[Brokers]:
    """A new cluster; `more` are settings, with `_` for the dots of their names."""
    taken = [ports.free() for _ in range(count + voters)]
    shared = Home(home.resolve())
    install.ensure(shared, say=print)
    made = Brokers(
        shared,
        root,
        dict(enumerate(taken[:count], start=1)),
        dict(enumerate(taken[count:], start=1)),
        {name.replace("_", "."): value for name, value in more.items()},
    )
    try:
        made.start(*made.ports)
        yield made
    finally:
        for process in made.processes.values():
            processes.kill(process)
