"""How much waits on disk, and of which keys: flat in memory, however much it is. Pure.

Rule: a key of which something waits is always known; another may be taken for it, at worst.
"""

from array import array
from collections.abc import Iterable

BUCKETS = 1 << 20


class Ledger:
    """Counts of what waits in all the spool files of a process."""

    def __init__(self) -> None:
        self.events = 0
        self.bytes = 0
        self._buckets = array("I", bytes(4 * BUCKETS))

    def holds(self, bucket: int) -> bool:
        return self._buckets[bucket] > 0

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Bucket and size of each."""
        for bucket, size in counts:
            self._buckets[bucket] += 1
            self.events += 1
            self.bytes += size

    def remove(self, counts: Iterable[tuple[int, int]]) -> None:
        for bucket, size in counts:
            # A damaged index may have told another bucket: below none there is nothing to count.
            self._buckets[bucket] = max(self._buckets[bucket] - 1, 0)
            self.events -= 1
            self.bytes -= size
