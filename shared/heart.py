"""Whether the loops of this process make progress.

Rule 1: a loop beats on each iteration, and before each retry while it waits out an outage: waiting
        is not being stuck. Each statement that Postgres has carried out for it is a beat, too
        (`shared/connections.py`), and so is each call to Pipedrive, answered or given up
        (`shared/pipedrive/client.py`): if all of them are slow, a batch of many takes minutes.
Rule 2: a loop that pauses says for how long. One without a beat for `PATIENCE_S` after that is
        stuck.
Rule 3: a loop is a task, and nothing else beats for it: not requests, not tasks it has started.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

PATIENCE_S = 90.0
"""Longer than anything that a loop waits for between two beats. The longest wait is for a silent
Postgres (`shared/db.py`): it is given up after twice a statement's time."""


class Heart:
    """Belongs to one loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.due = 0.0
        self.beat(0.0)

    def beat(self, rest_s: float) -> None:
        self.due = time.monotonic() + rest_s + PATIENCE_S

    def stir(self) -> None:
        self.due = max(self.due, time.monotonic() + PATIENCE_S)


_hearts: Final[dict[asyncio.Task[Any] | None, Heart]] = {}


@contextmanager
def beating(name: str) -> Iterator[None]:
    """Make this task a loop with that name until the block ends."""
    task = asyncio.current_task()
    _hearts[task] = Heart(name)
    try:
        yield
    finally:
        del _hearts[task]


def beat(rest_s: float = 0.0) -> None:
    """If the caller is a loop, it counts as making progress, and may now pause for `rest_s`."""
    heart = _hearts.get(asyncio.current_task())
    if heart is not None:
        heart.beat(rest_s)


def stir() -> None:
    """If the caller is a loop, it counts as making progress; an announced pause goes on."""
    heart = _hearts.get(asyncio.current_task())
    if heart is not None:
        heart.stir()


def stuck() -> list[str]:
    """The names of the loops that should have beaten by now."""
    now = time.monotonic()
    hearts = list(_hearts.values())  # a snapshot: the caller may be another thread
    return sorted(heart.name for heart in hearts if heart.due < now)
