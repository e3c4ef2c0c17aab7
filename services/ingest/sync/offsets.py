"""Pages by offset of a list that rows leave, or move in, while it is read. Pure.

Rule 1: what leaves moves all that stands behind it forward. So a page begins some rows before the
        end of the one before it: as long as it shows a row that has been handed on, as it was
        then, all that stand behind that row follow it, and none was passed over.
Rule 2: of a page that shows none nothing is handed on, and the next one begins a page earlier; at
        the beginning of the list nothing can have been passed over.
Rule 3: a row is handed on once for each value of the field by which the list is sorted: with
        another it stands in another place.
Rule 4: a place is all that it goes by: whoever makes it again, of what was kept with the last
        page, goes on as if the reading had not been broken off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.pipedrive.paging import Page

Row = Mapping[str, Any]
Key = tuple[str, str]
"""A row's id, and its value of the field by which the list is sorted."""

OVERLAP: Final = 10
"""Of so many rows of a page the last is asked for twice."""


def sorted_by(params: Mapping[str, Any]) -> str:
    """The field by which a list is sorted that is asked for so."""
    return str(params["sort"]).split()[0]


@dataclass(slots=True)
class Place:
    """`start` is where the next page begins, null at the end of the list; `page_rows` how many
    rows the last one showed that was not in vain, `seen` what has been handed on.
    """

    sorted_by: str
    start: int | None = 0
    page_rows: int = 1
    seen: set[Key] = field(default_factory=set)

    def handed_on(self, page: Page) -> Page:
        """What is to be handed on of the page that began here."""
        keys = [self.key(row) for row in page.rows]
        if self.start and self.seen.isdisjoint(keys):
            self.start = max(0, self.start - self.page_rows)
            return page._replace(rows=[])
        fresh = {
            key: row for key, row in zip(keys, page.rows, strict=True) if key not in self.seen
        }
        self.seen |= fresh.keys()
        self.page_rows = max(1, len(keys))
        following = page.next if isinstance(page.next, int) else None
        self.start = None if following is None else following - max(1, len(keys) // OVERLAP)
        return page._replace(rows=list(fresh.values()))

    def key(self, row: Row) -> Key:
        return str(row.get("id")), str(row.get(self.sorted_by))
