"""Finds what broke by itself: processes that nobody here ended, and errors that nobody handled.

Rule 1: what a scenario ends ends by its signal, or in order. Any other end is a fall, and so is
        any end of an instance that was to live on. What has fallen is started again, by whoever
        starts processes or by the scenario, and so leaves no other trace.
Rule 2: an outage is waited out without a traceback through our code. Libraries log their own, and
        so does the loop for tasks of theirs that nobody waited for.
"""

import signal
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from tests.support.cluster import ROOT, Instance

ENDED: Final = (0, -signal.SIGTERM, -signal.SIGKILL)
"""One that has only just begun to start does not hear SIGTERM yet, and ends by it."""
TRACEBACK: Final = "Traceback (most recent call last):"
OURS: Final = tuple(f'File "{ROOT}/{part}/' for part in ("services", "shared"))
SHOWN: Final = 300


def fallen(instances: Iterable[Instance], living: Iterable[Instance]) -> list[str]:
    """Of all that were started, and those that are to live."""
    to_live = {id(instance) for instance in living}
    found = []
    for instance in instances:
        status = instance.process.poll()
        if status is not None and (status not in ENDED or id(instance) in to_live):
            found.append(f"{instance.log.name}: ended by itself with status {status}")
    return found


def unhandled(log: str) -> Iterator[str]:
    """What a log tells of errors that nobody handled."""
    for line in log.splitlines():
        if not line.startswith("{"):
            if TRACEBACK in line:
                yield line.strip()
            continue
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # a process was killed while it wrote
        trace = told.get("exception", "")
        if any(place in trace for place in OURS):
            yield f"{told['message']}: {trace[-SHOWN:]}"
