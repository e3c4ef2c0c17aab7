"""Changes to the index, collected by term. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.query.searching import bitmaps
from services.query.searching.bitmaps import LOOSE
from services.query.searching.bits import CHUNK
from services.query.searching.terms import Term

Chunk = tuple[str, int, int]
"""A row of a term's slots: its word, its kind, and the chunk number or `LOOSE`."""

Places = defaultdict[Term, list[int]]


@dataclass(slots=True)
class Moves:
    """Slots that gained a term, and slots that lost it."""

    added: Places = field(default_factory=lambda: defaultdict(list))
    removed: Places = field(default_factory=lambda: defaultdict(list))

    def move(self, slot: int, before: AbstractSet[Term], after: AbstractSet[Term]) -> None:
        """A slot's terms have changed."""
        for term in after - before if before else after:
            self.added[term].append(slot)
        for term in before - after:
            self.removed[term].append(slot)

    def move_all(
        self,
        rows: Iterable[tuple[int, bytes]],
        before: AbstractSet[Term],
        after: AbstractSet[Term],
    ) -> None:
        """As `move`, for all slots in these chunks' rows."""
        for chunk, stored in rows:
            slots = bitmaps.slots(chunk, stored)
            for term in after - before:
                self.added[term].extend(slots)
            for term in before - after:
                self.removed[term].extend(slots)

    def chunks(self) -> set[Chunk]:
        """Those that may change."""
        return {
            (word, kind, chunk)
            for side in (self.added, self.removed)
            for (word, kind), slots in side.items()
            for chunk in (LOOSE, *{slot // CHUNK for slot in slots})
        }

    def counts(self, kinds: Iterable[int]) -> dict[str, int]:
        """How many more slots have each word of these kinds."""
        wanted = set(kinds)
        counts: dict[str, int] = {}
        for side, sign in ((self.added, 1), (self.removed, -1)):
            for (word, kind), slots in side.items():
                if kind in wanted:
                    counts[word] = counts.get(word, 0) + sign * len(slots)
        return counts

    def changed(self, stored: Mapping[Chunk, bytes]) -> Iterator[tuple[Chunk, bytes]]:
        """The rows that change."""
        for term in self.added.keys() | self.removed.keys():
            yield from _changed(term, self.added.get(term, ()), self.removed.get(term, ()), stored)


def _changed(
    term: Term, added: Sequence[int], removed: Sequence[int], stored: Mapping[Chunk, bytes]
) -> Iterator[tuple[Chunk, bytes]]:
    come, gone = bitmaps.split(added), bitmaps.split(removed)
    for chunk in come.keys() | gone.keys():
        row = stored.get((*term, chunk))
        if row is not None:
            places = come.get(chunk, ()), gone.get(chunk, ())
            yield (*term, chunk), bitmaps.changed(row, *places)
    loose_moves = (
        [slot for slot in side if (*term, slot // CHUNK) not in stored]
        for side in (added, removed)
    )
    held = stored.get((*term, LOOSE), b"")
    loose, chunks = bitmaps.loosened(held, *loose_moves)
    if loose != held:
        yield (*term, LOOSE), loose
    for chunk, slots in chunks.items():
        yield (*term, chunk), slots
