"""Which loopback ports the servers and services listen on.

Ports are below the range that the kernel uses for outgoing connections (32768 and up on Linux):
otherwise a client that keeps retrying a server that is down would, now and then, connect to itself
and occupy the server's port.

A port is chosen long before its server listens, and is unused while its server is down. So each
process that chooses ports has a share of the range to itself, for as long as it lives.
"""

import atexit
import functools
import itertools
import random
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from devstack.errors import StackError

HOST = "127.0.0.1"
LINGERING_S = 1.0
POLL_S = 0.03
SEARCHED = range(20_000, 32_000)
SHARE = 1_000
"""More than a run of all tests needs: none is reused soon."""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Else a port in TIME_WAIT, just closed by a server of ours, would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free(*, besides: frozenset[int] = frozenset()) -> int:
    """A port that no other process gets meanwhile, and this one only after all others.

    Raises:
        StackError: none is free.
    """
    for port in itertools.islice(_own_share(), SHARE):
        if port not in besides and is_free(port):
            return port
    raise StackError(f"no free port found between {SEARCHED.start} and {SEARCHED.stop}")


@functools.cache
def _own_share() -> Iterator[int]:
    """Over and over. Who holds the first port of a share, bound and silent, has the share: the
    kernel lets go of it when the process ends, however it ends.
    """
    firsts = SEARCHED[::SHARE]
    for first in random.sample(firsts, k=len(firsts)):
        if _held(first):
            rest = range(first + 1, first + SHARE)
            return itertools.cycle(random.sample(rest, k=len(rest)))
    raise StackError(f"{len(firsts)} processes that choose ports run here: wait for one to end")


def _held(port: int) -> bool:
    claim = socket.socket()
    try:
        claim.bind((HOST, port))
    except OSError:
        claim.close()
        return False
    atexit.register(claim.close)
    return True


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
    """A killed server's connections may hold its port for a moment."""
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
