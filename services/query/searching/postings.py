"""What changes do to the index, collected by term. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.query.searching import bitmaps
from services.query.searching.bits import CHUNK
from services.query.searching.terms import Term

Chunk = tuple[str, int, int]
"""A part of a term's slots: its word, its kind, and which part."""

Places = defaultdict[Term, list[int]]


@dataclass(slots=True)
class Moves:
    """Slots that got a term, and slots that lost it."""

    added: Places = field(default_factory=lambda: defaultdict(list))
    removed: Places = field(default_factory=lambda: defaultdict(list))

    def move(self, slot: int, before: AbstractSet[Term], after: AbstractSet[Term]) -> None:
        """A slot has other terms than before."""
        for term in after - before if before else after:
            self.added[term].append(slot)
        for term in before - after:
            self.removed[term].append(slot)

    def move_all(
        self,
        chunks: Iterable[tuple[int, bytes]],
        before: AbstractSet[Term],
        after: AbstractSet[Term],
    ) -> None:
        """As `move`, of all slots in these chunks."""
        for chunk, stored in chunks:
            slots = [chunk * CHUNK + place for place in bitmaps.places(stored)]
            for term in after - before:
                self.added[term].extend(slots)
            for term in before - after:
                self.removed[term].extend(slots)

    def chunks(self) -> set[Chunk]:
        """Those that change."""
        return {
            (word, kind, chunk)
            for side in (self.added, self.removed)
            for (word, kind), slots in side.items()
            for chunk in _chunks(slots)
        }

    def counts(self, kinds: Iterable[int]) -> dict[str, int]:
        """By how many more slots have each word of these kinds."""
        wanted = set(kinds)
        counts: dict[str, int] = {}
        for side, sign in ((self.added, 1), (self.removed, -1)):
            for (word, kind), slots in side.items():
                if kind in wanted:
                    counts[word] = counts.get(word, 0) + sign * len(slots)
        return counts

    def changed(self, stored: Mapping[Chunk, bytes]) -> Iterator[tuple[Chunk, bytes]]:
        """The chunks as they are afterwards."""
        added, removed = _by_chunk(self.added), _by_chunk(self.removed)
        for chunk in added.keys() | removed.keys():
            held = stored.get(chunk, b"")
            yield chunk, bitmaps.changed(held, added.get(chunk, ()), removed.get(chunk, ()))


def _by_chunk(places: Places) -> dict[Chunk, list[int]]:
    found: dict[Chunk, list[int]] = {}
    for (word, kind), slots in places.items():
        for chunk in _chunks(slots):
            first = chunk * CHUNK
            found[word, kind, chunk] = [
                slot - first for slot in slots if 0 <= slot - first < CHUNK
            ]
    return found


def _chunks(slots: Sequence[int]) -> set[int]:
    return {slot // CHUNK for slot in slots} if len(slots) > 1 else {slots[0] // CHUNK}
