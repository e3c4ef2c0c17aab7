"""A process that ended by itself is noticed, and so is an error that nobody handled."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from shared.lifecycle import STUCK
from tests.faults import falling
from tests.support.cluster import ROOT, Instance


def ended(status: int) -> Instance:
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"])
    process.wait()
    return Instance("orgs", 1, process, Path("orgs-1.log"))


def killed() -> Instance:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    instance = Instance("query", 2, process, Path("query-2.log"))
    instance.kill()
    return instance


@pytest.mark.parametrize("status", [1, STUCK])
def test_who_ended_by_itself_has_fallen_though_it_was_started_again(status: int) -> None:
    found = falling.fallen([ended(status)], living=[])

    assert found == [f"orgs-1.log: ended by itself with status {status}"]


def test_who_was_ended_has_not_fallen_unless_it_was_to_live() -> None:
    stopped, dead = ended(0), killed()

    assert falling.fallen([stopped, dead], living=[]) == []
    assert falling.fallen([stopped, dead], living=[dead]) == [
        "query-2.log: ended by itself with status -9"
    ]


def told(logger: str, message: str, **more: str) -> str:
    return orjson.dumps({"logger": logger, "message": message, **more}).decode()


def test_a_log_tells_of_what_nobody_handled() -> None:
    ours = f'Traceback\n  File "{ROOT}/shared/web.py", line 1\nKeyError: 1'
    theirs = f'Traceback\n  File "{ROOT}/.venv/lib/aiokafka/fetcher.py", line 1\nOSError'
    lines = [
        told("shared.web", "request_failed", exception=ours),
        told("asyncio", "Task exception was never retrieved", exception=theirs),
        told("shared.lifecycle", "outage_began", reason="Traceback (most recent call last):"),
        "  + Exception Group Traceback (most recent call last):",
        '{"logger": "shared.web", "mess',
    ]

    assert list(falling.unhandled("\n".join(lines))) == [
        f"request_failed: {ours}",
        "+ Exception Group Traceback (most recent call last):",
    ]
