"""The parameters of a list request, checked as Pipedrive checks them. Pure.

Rule 1: invalid values are refused with 400 and a sentence; unknown parameters are ignored.
Rule 2: `filter_id` silently disables every other filter, `ids` among them.
Rule 3: a cursor names the first row of its page and the order it was handed out in.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from devstack.pipedrive.api.tables import Key, Order

MOST = 500
MOST_IDS = 100
MOST_CUSTOM_FIELDS = 15
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SORT_V1 = re.compile(r"(id|add_time|update_time)(?: (ASC|DESC))?", re.IGNORECASE)
FILTERS: Mapping[str, tuple[str, ...]] = {
    "person": ("owner_id", "org_id"),
    "organization": ("owner_id",),
    "deal": ("owner_id", "person_id", "org_id", "pipeline_id", "stage_id", "status"),
    "activity": ("owner_id", "deal_id", "lead_id", "person_id", "org_id", "done"),
    "lead": ("owner_id", "person_id", "organization_id"),
    "note": ("user_id", "person_id", "org_id", "deal_id", "lead_id"),
}
TEXTS = frozenset({"status", "lead_id"})

Query = Mapping[str, str]


class Rejected(Exception):
    """The request is refused."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Asked:
    """`start` is the key of the first row in version 2, its number in the list in version 1."""

    limit: int
    order: Order
    descending: bool
    start: Key | int | None
    ids: tuple[int, ...] | None
    since: str | None
    until: str | None
    filters: Mapping[str, Any]


def v2(entity: str, query: Query) -> Asked:
    order = _choice(query, "sort_by", [one.value for one in Order], "id")
    direction = _choice(query, "sort_direction", ["asc", "desc"], "asc")
    start = None
    if "cursor" in query:
        order, direction, start = _uncursor(query["cursor"])
    is_filtered = "filter_id" not in query
    custom = query.get("custom_fields", "")
    if custom.count(",") >= MOST_CUSTOM_FIELDS:
        raise Rejected(400, f"custom_fields: at most {MOST_CUSTOM_FIELDS} keys")
    return Asked(
        limit=_limit(query),
        order=Order(order),
        descending=direction == "desc",
        start=start,
        ids=_ids(query) if is_filtered else None,
        since=_instant(query, "updated_since") if is_filtered else None,
        until=_instant(query, "updated_until") if is_filtered else None,
        filters=_filters(entity, query) if is_filtered else {},
    )


def v1(entity: str, query: Query) -> Asked:
    sort = SORT_V1.fullmatch(query.get("sort", "id"))
    if sort is None:
        raise Rejected(400, f"sort: {query['sort']} is not supported")
    is_filtered = "filter_id" not in query
    return Asked(
        limit=_limit(query),
        order=Order(sort[1].lower()),
        descending=(sort[2] or "").upper() == "DESC",
        start=_number(query, "start", 0),
        ids=None,
        since=_instant(query, "updated_since") if is_filtered else None,
        until=None,
        filters=_filters(entity, query) if is_filtered else {},
    )


def cursor(asked: Asked, key: Key) -> str:
    """Where the page that begins with the row of this key is asked for."""
    told = {
        "field": asked.order.value,
        "fieldValue": key[0],
        "sortDirection": "desc" if asked.descending else "asc",
        "id": key[-1],
    }
    return base64.urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")


def _uncursor(text: str) -> tuple[str, str, Key]:
    try:
        told = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        order, value, row_id = Order(told["field"]), told["fieldValue"], told["id"]
        direction = "desc" if told["sortDirection"] == "desc" else "asc"
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise Rejected(400, "cursor: it is not valid") from error
    return order.value, direction, (row_id,) if order is Order.ID else (value, row_id)


def _limit(query: Query) -> int:
    limit = _number(query, "limit", 100)
    if limit < 1:
        raise Rejected(400, "limit: must be at least 1")
    return min(limit, MOST)


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise Rejected(400, f"{name}: must be a number")
    return int(text)


def _choice(query: Query, name: str, choices: list[str], default: str) -> str:
    found = query.get(name, default)
    if found not in choices:
        raise Rejected(400, f"{name}: must be one of {', '.join(choices)}")
    return found


def _instant(query: Query, name: str) -> str | None:
    text = query.get(name)
    if text is None:
        return None
    if not INSTANT.fullmatch(text):
        raise Rejected(400, f"{name}: must be a time in RFC 3339, such as 2026-01-02T03:04:05Z")
    return text[:19]  # without zone: it sorts before both its second and its milliseconds


def _ids(query: Query) -> tuple[int, ...] | None:
    text = query.get("ids")
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise Rejected(400, "ids: must be numbers")
    if len(parts) > MOST_IDS:
        raise Rejected(400, f"ids: at most {MOST_IDS}")
    return tuple(sorted({int(part) for part in parts}))


def _filters(entity: str, query: Query) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in FILTERS.get(entity, ()):
        if name not in query:
            continue
        if name == "done":
            found[name] = query[name] in ("true", "1")
        elif name in TEXTS:
            found[name] = query[name]
        else:
            found[name] = _number(query, name, 0)
    return found
