"""One KRaft node as a server of the stack: its settings, its command and its probe.

The quorum's and the session's deadlines are short, because nothing can take over from a killed
single node: with Kafka's defaults it takes 12 s until it accepts writers again.
"""

import shutil
import signal
import socket
import struct
from pathlib import Path

from devstack.kafka.home import Home
from devstack.ports import HOST
from devstack.servers import Place, Server, nothing_to_do

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # A webhook of 1 MiB, wrapped and escaped, must fit.
    "message.max.bytes": "4194304",
    "replica.fetch.max.bytes": "4194304",
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "250",
    "controller.quorum.election.timeout.ms": "300",
    "controller.quorum.fetch.timeout.ms": "1000",
    # A restarted broker also loads deleted partitions while their files exist: by default for a
    # minute, and for the first half a minute of each start.
    "file.delete.delay.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    # The default takes 128 MiB of a heap that is small here.
    "log.cleaner.dedupe.buffer.size": "16777216",
}
HEAP = "512m"
PROBE_S = 1.0
METADATA_KEY = 3
METADATA_VERSION = 4


def server(home: Home, place: Place, *, port: int, controller_port: int) -> Server:
    return Server(
        name="kafka",
        command=(
            *home.java(heap=HEAP, log=place.log),
            "kafka.Kafka",
            str(place.state / "server.properties"),
        ),
        stop_signal=signal.SIGTERM,
        prepare=lambda: _prepare(home, place, port=port, controller_port=controller_port),
        is_ready=lambda: lists_a_broker(port),
        finish=nothing_to_do,
    )


def url(port: int) -> str:
    return f"{HOST}:{port}"


def properties(data: Path, *, port: int, controller_port: int) -> str:
    settings = SETTINGS | {
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(data),
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _prepare(home: Home, place: Place, *, port: int, controller_port: int) -> None:
    data = place.state / "data"
    if not data.exists():
        unfinished = place.state / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(home.formatted, unfinished)
        unfinished.rename(data)
    text = properties(data, port=port, controller_port=controller_port)
    (place.state / "server.properties").write_text(text)


def lists_a_broker(port: int) -> bool:
    """Ask for the cluster's metadata: a broker is in it once it may lead partitions.

    https://kafka.apache.org/protocol#The_Messages_Metadata: header (key, version, correlation id,
    client id), then no topics and no topic creation; the answer opens with correlation id,
    throttle time and the number of brokers.
    """
    header = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, 1, -1)
    request = header + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection((HOST, port), timeout=PROBE_S) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                head = answer.read(16)
    except OSError:
        return False
    if len(head) < struct.calcsize(">iiii"):
        return False
    _, _, _, brokers = struct.unpack(">iiii", head)
    return bool(brokers > 0)
