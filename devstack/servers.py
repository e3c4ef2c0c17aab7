"""A server of the stack, as a value that says how to prepare, start, probe and stop it."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devstack.processes import never


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server keeps its state and its log."""

    state: Path
    log: Path
    cancelled: Callable[[], bool] = never


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    command: tuple[str, ...]
    stop_signal: signal.Signals
    prepare: Callable[[], None]
    """Creates its files; harmless if they exist."""
    is_ready: Callable[[], bool]
    finish: Callable[[], None]
    """Setup before clients connect, done once it answers."""


def nothing_to_do() -> None:
    """The step of a server that needs none."""
