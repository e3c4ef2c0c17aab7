"""What a sync of this process published, and then wrote down: the log has no more to tell of it.

Rule 1: a record is noted once the transaction that made its row known is on disk. Whose process
        died before, or what another process published, is heard like all that others told.
Rule 2: what is noted is held until it is met, and not for ever: what was forgotten is heard, which
        costs more and changes nothing.
"""

from collections.abc import Iterable
from typing import Final

from shared.kafka.rounds import Record

MOST: Final = 50_000
"""Some 5 MB; the hearing is a few hundred records behind, as a rule."""


class Written:
    def __init__(self) -> None:
        self._held: set[int] = set()

    def note(self, records: Iterable[Record]) -> None:
        if len(self._held) > MOST:
            self._held.clear()
        self._held.update(hash(record.value) for record in records)

    def has(self, value: bytes) -> bool:
        """Says so once: each record is met once, unless its batch is taken back."""
        number = hash(value)
        is_held = number in self._held
        self._held.discard(number)
        return is_held
