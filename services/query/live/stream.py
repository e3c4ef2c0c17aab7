"""One open stream: what is waiting to be sent, and whether it is still open.

Rule 1: a client that does not keep up is cut off; it comes back with the last id it saw. A client
        that has taken all that was pushed before keeps up, however much comes at once.
Rule 2: a stream does not count as quiet while something is waiting: a place is sent after the
        events that lead to it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from services.query.batch import User
from services.query.live.events import Place
from shared.auth import Session

MOST_WAITING_BYTES: Final = 256 * 1024
"""For several frames; a single one may be larger."""


class Stream:
    """`resume_at` is the place that the client resumes from; null if it starts afresh."""

    __slots__ = (
        "_cut_off",
        "_is_gone",
        "_ready",
        "_waiting",
        "_waiting_bytes",
        "closed",
        "joined",
        "resume_at",
        "session",
        "user",
    )

    def __init__(
        self,
        session: Session,
        resume_at: Place | None,
        *,
        cut_off: Callable[[], None],
        is_gone: Callable[[], bool],
    ) -> None:
        self.session = session
        self.user = User(session.identity.company_id, session.identity.user_id)
        self.resume_at = resume_at
        self.joined = False
        self.closed = False
        self._cut_off = cut_off
        self._is_gone = is_gone
        self._ready = asyncio.Event()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def is_gone(self) -> bool:
        """The client has left, which the handler only notices when it next sends."""
        return self.closed or self._is_gone()

    def push(self, frame: bytes) -> bool:
        """False if the stream was cut off instead: too much is waiting already."""
        if self.closed or not frame:
            return True
        if self._waiting and self._waiting_bytes + len(frame) > MOST_WAITING_BYTES:
            self.close()
            self._cut_off()
            return False
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        self._ready.set()
        return True

    def close(self) -> None:
        """What is waiting is not sent: the client resumes before it."""
        self.closed = True
        self._waiting.clear()
        self._ready.set()

    async def next(self, seconds: float) -> bytes:
        """What is waiting; empty once the stream is closed, or the time is over."""
        if not self._waiting and not self.closed:
            # A push in the very turn in which the time ends is still included.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ready.wait()
        content = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        if not self.closed:
            self._ready.clear()
        return content
