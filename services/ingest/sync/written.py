"""What a sync of this process published and has recorded: reading it from the log adds nothing.

Rule 1: a record is noted once the transaction that made its row known is on disk. Everything else
        in the log is read: what other processes published, and what one did not note before it
        died.
Rule 2: a note is kept until its record is met, but not for ever: a forgotten record is read, which
        costs more and changes nothing.
"""

from collections.abc import Iterable
from typing import Final

from shared.kafka.rounds import Record

MOST: Final = 50_000
"""Some 5 MB; the hearing is usually a few hundred records behind."""


class Written:
    def __init__(self) -> None:
        self._held: set[int] = set()

    def note(self, records: Iterable[Record]) -> None:
        if len(self._held) > MOST:
            self._held.clear()
        self._held.update(hash(record.value) for record in records)

    def has(self, value: bytes) -> bool:
        """Reports it once: each record is met once, unless its batch is retried."""
        number = hash(value)
        is_held = number in self._held
        self._held.discard(number)
        return is_held
