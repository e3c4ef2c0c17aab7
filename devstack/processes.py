"""Manages processes that outlive their parent: how one is started, found again and ended.

Rule 1: a process is known by its pid file (pid and start time), never by its name.
Rule 2: a pid whose start time differs is somebody else's and is left alone.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil

from devstack.errors import Cancelled, StackError

POLL_S = 0.03
# The kernel's boot time, from which start times are counted, moves when the clock is set.
START_TIME_TOLERANCE_S = 3.0
SHOWN_LOG_LINES = 15


def never() -> bool:
    return False


def spawn(
    command: Sequence[str],
    *,
    log: Path | None,
    pid_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> psutil.Process:
    """Start a process in a session of its own: a Ctrl-C in the terminal is not for it.

    Without a log it talks on our own output.
    """
    pid = os.posix_spawnp(
        command[0],
        list(command),
        dict(os.environ if environment is None else environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *_output_to(log),
        ],
        setsid=True,
    )
    process = psutil.Process(pid)
    if pid_file is not None:
        remember(process, pid_file)
    return process


def _output_to(log: Path | None) -> list[tuple[int, int, str, int, int] | tuple[int, int, int]]:
    if log is None:
        return []
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return [
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]


def remember(process: psutil.Process, pid_file: Path) -> None:
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    whole = pid_file.with_suffix(".tmp")
    whole.write_bytes(orjson.dumps({"pid": process.pid, "started": process.create_time()}))
    whole.rename(pid_file)


def find(pid_file: Path) -> psutil.Process | None:
    """The living process of a pid file, if it is still the one that was started."""
    try:
        known = orjson.loads(pid_file.read_bytes())
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["started"]) < START_TIME_TOLERANCE_S
        return process if same and is_alive(process) else None
    except (FileNotFoundError, orjson.JSONDecodeError, psutil.NoSuchProcess):
        return None


def is_alive(process: psutil.Process) -> bool:
    """A zombie counts as dead: under a PID 1 that does not reap it would stay for ever.

    Unless other threads of it still run: they hold its sockets a moment longer.
    """
    try:
        if not process.is_running():
            return False
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def exit_code(process: psutil.Process) -> int | None:
    """Of a child of ours that ended; None while it lives or when it is not our child."""
    try:
        return process.wait(timeout=0)
    except psutil.TimeoutExpired:
        return None


def end(process: psutil.Process, *, how: signal.Signals, grace_s: float) -> bool:
    """Ask, wait, then kill. True if asking was enough."""
    if _gone(process, how, grace_s):
        return True
    _gone(process, signal.SIGKILL, grace_s)
    return False


def kill(process: psutil.Process, *, wait_s: float = 5.0) -> None:
    _gone(process, signal.SIGKILL, wait_s)


def _gone(process: psutil.Process, how: signal.Signals, wait_s: float) -> bool:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return True
    deadline = time.monotonic() + wait_s
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    exit_code(process)  # reaps it if it is our child
    return True


def run(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Run to the end; its output goes to the log, whose tail is shown if it fails."""
    process = spawn(command, log=log, environment=environment)
    while (code := exit_code(process)) is None:
        if cancelled():
            end(process, how=signal.SIGTERM, grace_s=5)
            raise Cancelled(f"{Path(command[0]).name} was stopped")
        time.sleep(POLL_S)
    if code != 0:
        raise StackError(f"{Path(command[0]).name} failed with {code}\n{tail(log)}")


def tail(log: Path, lines: int = SHOWN_LOG_LINES) -> str:
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return f"  ({log} was never written)"
    last = text.splitlines()[-lines:]
    return "\n".join([f"  last lines of {log}:", *(f"  | {line}" for line in last)])


@contextmanager
def locked(path: Path, *, refusal: str | None = None) -> Iterator[None]:
    """Hold a lock that the kernel frees when its holder dies; with a refusal, do not wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as held:
            raise StackError(str(refusal)) from held
        yield
