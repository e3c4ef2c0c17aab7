"""What a call costs of the company's daily tokens. Pure.

Rule 1: version 1 costs twice what version 2 does; the exceptions are in a table.
Rule 2: an endpoint's name holds no ids, so that it can be a metric's label.

Source: Pipedrive's reference, where each endpoint names its cost, and its page on rate limiting.
"""

import re
from typing import Final, NamedTuple

ID: Final = re.compile(r"\d+|[0-9a-f]{8}-[0-9a-f-]{27}")

# At version 2's cost.
ONE: Final = 1
LIST: Final = 10
SEARCH: Final = 20
WRITE: Final = 5
DELETE: Final = 3

EXCEPTIONS: Final = {
    "GET /v2/deals/archived": 20,
    "GET /v1/leads/archived": 40,
    "GET /v1/leadLabels": 10,
    "GET /v1/leadSources": 2,
    "GET /v1/users/me": 2,
    "GET /v1/webhooks": 10,
    "POST /v2/leads/{id}/convert/deal": 40,
    "POST /v2/deals/{id}/convert/lead": 40,
}
SEARCHES: Final = frozenset({"search", "itemSearch", "field"})


class Call(NamedTuple):
    """`is_search`: searches have a burst limit of their own."""

    endpoint: str
    tokens: int
    is_search: bool


def call(method: str, path: str) -> Call:
    """The endpoint and cost of a call with this path (`/v2/persons/12`, without its query)."""
    parts = ["{id}" if ID.fullmatch(part) else part for part in path.strip("/").split("/")]
    endpoint = f"{method} /{'/'.join(parts)}"
    is_search = parts[-1] in SEARCHES
    tokens = EXCEPTIONS.get(endpoint)
    if tokens is None:
        tokens = _usual(method, is_one=parts[-1] == "{id}", is_search=is_search)
        tokens *= 2 if parts[0] == "v1" else 1
    return Call(endpoint, tokens, is_search)


def _usual(method: str, *, is_one: bool, is_search: bool) -> int:
    if method == "DELETE":
        return DELETE
    if method != "GET":
        return WRITE
    if is_search:
        return SEARCH
    return ONE if is_one else LIST
