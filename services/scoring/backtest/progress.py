"""A progress bar, on a terminal or in a log."""

import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
REDRAW_S = 0.1
TENTHS = 10


class Bar:
    """Redrawn in place on a terminal; elsewhere a line per tenth."""

    def __init__(
        self, out: TextIO, what: str, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._what = what
        self._total = max(total, 1)
        self._clock = clock
        self._began = clock()
        self._is_terminal = out.isatty()
        self._shown_at = -REDRAW_S
        self._shown_tenth = -1

    def at(self, done: int) -> None:
        """Show how far it has come; the end is always shown."""
        share = min(done / self._total, 1.0)
        if self._is_terminal:
            now = self._clock()
            if share < 1 and now - self._shown_at < REDRAW_S:
                return
            self._shown_at = now
            self._out.write(f"\r{self._line(share, done)}" + ("\n" if share == 1 else ""))
        elif int(share * TENTHS) > self._shown_tenth:
            self._shown_tenth = int(share * TENTHS)
            self._out.write(self._line(share, done) + "\n")
        self._out.flush()

    def _line(self, share: float, done: int) -> str:
        filled = round(share * WIDTH)
        bar = "#" * filled + "." * (WIDTH - filled)
        seconds = self._clock() - self._began
        left = f"{seconds / share - seconds:5.0f} s left" if 0 < share < 1 else f"{seconds:5.0f} s"
        return f"{self._what:12} [{bar}] {share:4.0%}  {done:,}  {left:>12}"
