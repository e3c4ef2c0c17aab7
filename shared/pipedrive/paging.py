"""Lists page by page: by cursor in version 2, by offset in version 1. Pure.

Rule 1: a mark says where a page begins, and only the list that issued it understands it: a cursor
        is opaque, an offset shifts when rows before it come or go.
Rule 2: a list whose pages show nothing new, one after another, is left: each costs tokens, and
        there may always be a next one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from shared.pipedrive.errors import Endless

Mark = str | int | None
Key = tuple[int | str, ...]
MOST_IN_VAIN: Final = 3
"""Pages in succession that show nothing new."""
TIMES: Final = ("update_time", "add_time")


class Page(NamedTuple):
    """`next` begins the following page; null at the end. `odd` is how many rows are left out, as
    they are not objects.
    """

    rows: Sequence[dict[str, Any]]
    next: Mark
    odd: int = 0


def page(path: str, envelope: Mapping[str, Any]) -> Page:
    """The rows of an answer. Searches wrap each in `items`; an empty list of version 1 is null."""
    found = envelope.get("data")
    if isinstance(found, dict):
        found = found.get("items")
    listed = found if isinstance(found, list) else []
    rows = [row for row in listed if isinstance(row, dict)]
    more = envelope.get("additional_data")
    more = more if isinstance(more, dict) else {}
    following = (more.get("next_cursor") or None) if _is_v2(path) else _next_start(more)
    return Page(rows, following, len(listed) - len(rows))


class Course:
    """Whether a list gets on. By cursor no row comes twice unchanged: a page with the row that an
    earlier one began with has gone in a circle, wherever it entered it. `key` is the field that
    holds a row's id.
    """

    def __init__(self, key: str = "id") -> None:
        self._key = key
        self._begun: set[Key] = set()
        self._in_vain = 0.0

    def pass_on(self, page: Page) -> None:
        """A page that another one follows.

        Raises:
            Endless: it is one too many in vain.
        """
        keys = [key for row in page.rows if (key := self._identity(row))]
        is_new = bool(keys) and self._begun.isdisjoint(keys)
        self._begun.update(keys[:1])
        self.note(is_new=is_new)

    def note(self, *, is_new: bool, share: float = 1.0) -> None:
        """As `pass_on`, of what is known to be new or not; `share` is that of a full page."""
        self._in_vain = 0.0 if is_new else self._in_vain + share
        if self._in_vain >= MOST_IN_VAIN:
            raise Endless

    def _identity(self, row: Mapping[str, Any]) -> Key | None:
        found = row.get(self._key)
        if not found or type(found) not in (int, str):
            return None
        return found, *(at for name in TIMES if isinstance(at := row.get(name), str))


def at(path: str, mark: Mark) -> dict[str, Any]:
    """The parameters that request the page at a mark."""
    if mark is None:
        return {}
    return {"cursor" if _is_v2(path) else "start": mark}


def spelled(params: Mapping[str, Any] | None) -> dict[str, str]:
    """Values as in a query string; null ones are left out."""
    return {name: _text(v) for name, v in (params or {}).items() if v is not None}


def _is_v2(path: str) -> bool:
    return path.startswith("/v2/")


def _next_start(more: Mapping[str, Any]) -> int | None:
    """Version 1 has it in `pagination`, for some lists beside it."""
    found = more.get("pagination")
    told = found if isinstance(found, dict) else more
    if not told.get("more_items_in_collection"):
        return None
    following = told.get("next_start")
    if isinstance(following, int):
        return following
    start, limit = told.get("start"), told.get("limit")
    return start + limit if isinstance(start, int) and isinstance(limit, int) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, Sequence) else str(value)
