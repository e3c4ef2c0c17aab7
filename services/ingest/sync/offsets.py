"""Pages by offset of a list that rows leave, or move in, while it is read. Pure.

Rule 1: what leaves moves all that stands behind it forward. So a page begins some rows before the
        end of the one before it: as long as it shows a row that has been handed on, as it was
        then, all that stand behind that row follow it, and none was passed over.
Rule 2: of a page that shows none nothing is handed on, and the next one begins a page earlier; at
        the beginning of the list nothing can have been passed over.
Rule 3: a row is handed on once for each value of the field by which the list is sorted: with
        another it stands in another place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.pipedrive.paging import Page

Row = Mapping[str, Any]

OVERLAP: Final = 10
"""Of so many rows of a page the last is asked for twice."""


@dataclass(slots=True)
class Place:
    """Where the next page begins; null at the end of the list."""

    sorted_by: str
    start: int | None = 0
    _page_rows: int = 1
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def handed_on(self, page: Page) -> Page:
        """What is to be handed on of the page that began here."""
        keys = [self._key(row) for row in page.rows]
        if self.start and self._seen.isdisjoint(keys):
            self.start = max(0, self.start - self._page_rows)
            return page._replace(rows=[])
        fresh = {
            key: row for key, row in zip(keys, page.rows, strict=True) if key not in self._seen
        }
        self._seen |= fresh.keys()
        self._page_rows = max(1, len(keys))
        following = page.next if isinstance(page.next, int) else None
        self.start = None if following is None else following - max(1, len(keys) // OVERLAP)
        return page._replace(rows=list(fresh.values()))

    def _key(self, row: Row) -> tuple[str, str]:
        return str(row.get("id")), str(row.get(self.sorted_by))
