"""A disk that does not answer, to whoever opens a certain file."""

import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unanswered(file: Path) -> Iterator[Callable[[], Awaitable[bool]]]:
    """Whoever opens the file waits until the block ends: there is a lease on it. Linux breaks it
    after 45 s by default (`fs.lease-break-time`). Nobody may have the file open.

    The block gets a condition: somebody waits.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # It tells the holder that somebody waits, and by default ends it.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)

    async def is_met() -> bool:
        return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_WRLCK

    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield is_met
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)
