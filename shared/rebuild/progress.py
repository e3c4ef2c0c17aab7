"""How far a rebuild has come, and when it will be done. Pure.

Rule: the time left is estimated from the rate of the last seconds, not of the whole: the end of a
log is often slower than its beginning.
"""

from collections import deque
from dataclasses import dataclass, field

WIDTH = 30
WINDOW_S = 15.0
LOOKS = 2
"""So many looks give a rate."""


@dataclass(slots=True)
class Progress:
    """Records read, out of those in the log."""

    done: int = 0
    total: int = 0
    _looks: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def behind(self) -> int:
        return max(0, self.total - self.done)

    def look(self, done: int, total: int, *, now: float) -> None:
        """`now` in seconds of any monotonic clock."""
        self.done, self.total = done, total
        self._looks.append((now, done))
        while len(self._looks) > LOOKS and self._looks[0][0] < now - WINDOW_S:
            self._looks.popleft()

    @property
    def per_second(self) -> float:
        if len(self._looks) < LOOKS:
            return 0.0
        (began, first), (ended, last) = self._looks[0], self._looks[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

    def line(self) -> str:
        if not self._looks:
            return f"[{'':<{WIDTH}}]"
        share = min(1.0, self.done / self.total) if self.total else 1.0
        bar = "#" * int(WIDTH * share)
        return (
            f"[{bar:<{WIDTH}}] {100 * share:5.1f} %  {self.done:,} of {self.total:,} records"
            f"  {self.per_second:,.0f}/s  {self._left()}"
        )

    def _left(self) -> str:
        if not self.behind:
            return "caught up"
        if self.per_second <= 0:
            return "left: ?"
        seconds = int(self.behind / self.per_second)
        return f"left: {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
