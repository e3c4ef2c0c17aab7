"""Lists page by page: by cursor in version 2, by offset in version 1. Pure.

Rule: a mark says where a page begins, and only the list that issued it understands it: a cursor is
opaque, an offset shifts when rows before it come or go.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

Mark = str | int | None


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
