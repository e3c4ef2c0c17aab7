"""Pages by offset, of a list whose rows leave or move while it is read. Pure.

Rule 1: a row that leaves moves all rows behind it forward. So each page overlaps the previous one:
        as long as it shows an unchanged row that has been handed on, all rows behind that one
        follow, and none was skipped.
Rule 2: if a page shows none, nothing of it is handed on, and the next one begins a page earlier;
        at the beginning of the list nothing can have been skipped.
Rule 3: a row is handed on once per value of the sort field: with another value it is in another
        place.
Rule 4: a place is the whole state: rebuilt from what was kept with the last page, it continues as
        if the walk had not been interrupted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.pipedrive.paging import Page

Row = Mapping[str, Any]
Key = tuple[str, str]
"""A row's id, and its value of the sort field."""

OVERLAP: Final = 10
"""One in so many rows of a page is requested twice."""


def sorted_by(params: Mapping[str, Any]) -> str:
    """The field by which a request sorts the list."""
    return str(params["sort"]).split()[0]


@dataclass(slots=True)
class Place:
    """`start` is where the next page begins, null at the end of the list; `page_rows` is the size
    of the last page that was not in vain, `seen` what has been handed on.
    """

    sorted_by: str
    start: int | None = 0
    page_rows: int = 1
    seen: set[Key] = field(default_factory=set)

    def handed_on(self, page: Page) -> Page:
        """The rows to hand on of the page that began here, and where the next one begins."""
        keys = [self.key(row) for row in page.rows]
        if self.start and self.seen.isdisjoint(keys):
            self.start = max(0, self.start - self.page_rows)
            return page._replace(rows=[], next=self.start)
        fresh = {
            key: row for key, row in zip(keys, page.rows, strict=True) if key not in self.seen
        }
        self.seen |= fresh.keys()
        self.page_rows = max(1, len(keys))
        following = page.next if isinstance(page.next, int) else None
        self.start = None if following is None else following - max(1, len(keys) // OVERLAP)
        return page._replace(rows=list(fresh.values()), next=self.start)

    def key(self, row: Row) -> Key:
        return str(row.get("id")), str(row.get(self.sorted_by))
