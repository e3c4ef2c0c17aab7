"""Which loopback ports the servers and services listen on.

Ports lie below the range that the kernel gives to outgoing connections (32768 up on Linux): a
client that keeps trying a server that is away would else, now and then, connect to itself and
hold the port against the server's return.
"""

import random
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import orjson

from devstack.errors import StackError

HOST = "127.0.0.1"
LINGERING_S = 1.0
POLL_S = 0.03
SEARCHED = range(20_000, 32_000)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Else a port in TIME_WAIT, just left by a server of ours, would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free(*, besides: frozenset[int] = frozenset()) -> int:
    for port in random.sample(SEARCHED, k=500):
        if port not in besides and is_free(port):
            return port
    raise StackError(f"no free port found between {SEARCHED.start} and {SEARCHED.stop}")


def choose(wanted: Mapping[str, int | None], *, memory: Path) -> dict[str, int]:
    """The remembered port of each name, else the wanted one; a free one where that is taken."""
    known = remembered(memory)
    chosen: dict[str, int] = {}
    for name, default in wanted.items():
        port = known.get(name, default)
        if port is None or port in chosen.values() or not _becomes_free(port):
            port = free(besides=frozenset(chosen.values()))
        chosen[name] = port
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_bytes(orjson.dumps(known | chosen))
    return chosen


def _becomes_free(port: int) -> bool:
    """What a killed server leaves behind may hold its port for a moment."""
    deadline = time.monotonic() + LINGERING_S
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def remembered(memory: Path) -> dict[str, int]:
    try:
        ports: dict[str, int] = orjson.loads(memory.read_bytes())
    except FileNotFoundError:
        return {}
    return ports
