"""Whether the loops of this process get on with their work.

Rule 1: a loop beats whenever it comes round, and before each try while it waits out an outage: who
        waits is not stuck. Each statement that Postgres has carried out for it is a beat, too
        (`shared/connections.py`): where all of them are slow, a batch of many takes minutes.
Rule 2: who rests says for how long. Who has not beaten `PATIENCE_S` after that is stuck.
Rule 3: a loop is a task, and nobody beats for another: not requests, not what a loop has started.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

PATIENCE_S = 90.0
"""Longer than anything that a loop waits for between two beats. The longest is a Postgres that
fell silent (`shared/db.py`): it is given up after twice the time that a statement has."""


class Heart:
    """One loop's."""

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
    """This task is a loop of that name until the block ends."""
    task = asyncio.current_task()
    _hearts[task] = Heart(name)
    try:
        yield
    finally:
        del _hearts[task]


def beat(rest_s: float = 0.0) -> None:
    """If the caller is a loop, it gets on; for `rest_s` nobody need worry about it."""
    heart = _hearts.get(asyncio.current_task())
    if heart is not None:
        heart.beat(rest_s)


def stir() -> None:
    """If the caller is a loop, it gets on; a rest that it has announced is not over by that."""
    heart = _hearts.get(asyncio.current_task())
    if heart is not None:
        heart.stir()


def stuck() -> list[str]:
    """The names of the loops that should have beaten by now."""
    now = time.monotonic()
    hearts = list(_hearts.values())  # at once: it may be another thread that asks
    return sorted(heart.name for heart in hearts if heart.due < now)
