"""Which ports are given: to one process at a time, and not again soon."""

import socket
import subprocess
import sys

import pytest

from devstack import ports
from devstack.errors import StackError

MANY = 300
GIVE = f"from devstack import ports; print(*(ports.free() for _ in range({MANY})), flush=True)"
WAIT = "; input()"


def choosing() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", GIVE + WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_no_port_is_given_twice_to_whatever_process() -> None:
    given = [ports.free() for _ in range(MANY)]
    with choosing() as one, choosing() as other:
        for process in (one, other):
            assert process.stdout is not None
            given.extend(map(int, process.stdout.readline().split()))
        for process in (one, other):
            process.communicate("")

    assert len(set(given)) == len(given) == 3 * MANY
    assert set(given) <= set(ports.SEARCHED)


def test_a_port_that_somebody_listens_on_or_that_is_unwanted_is_not_given() -> None:
    wanted = ports.free()
    besides = frozenset(set(ports.SEARCHED) - {wanted})

    assert ports.free(besides=besides) == wanted
    with socket.socket() as taken:
        taken.bind((ports.HOST, wanted))
        taken.listen()
        with pytest.raises(StackError, match="no free port"):
            ports.free(besides=besides)
