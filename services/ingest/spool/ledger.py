"""How much waits on disk, and under which keys, in constant memory. Pure.

Rule: no false negatives: a key with something waiting is always reported; a key without may be.
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
            # A damaged index may have reported another bucket: never count below zero.
            self._buckets[bucket] = max(self._buckets[bucket] - 1, 0)
            self.events -= 1
            self.bytes -= size
