"""Deliberately faulty answers.

Rule 1: shares are between 0 and 1, chance comes from a seeded source.
Rule 2: a fault strikes before the request is carried out or after it, as the share says: a client
        that gets no answer cannot know which.
Rule 3: what is wrong with a list's contents is wrong with all its pages.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from yarl import URL


class Fault(StrEnum):
    NONE = "none"
    ERROR = "error"
    CUT = "cut"
    GARBAGE = "garbage"
    HTML = "html"
    REFUSED = "refused"


class Endless(StrEnum):
    """What follows where a list would end, for ever."""

    PAGE = "page"
    """The same page, under the same mark."""
    ANEW = "anew"
    """The list from its beginning."""
    EMPTY = "empty"
    """Pages without rows."""


AGAIN = "again-"
"""Cursors of pages after the end; a number follows."""


@dataclass(slots=True)
class Faults:
    """`after` is the share of faulty requests that are carried out all the same; `paths` restricts
    the faults to paths that begin so; `at_most` faults, then none. `refused` ones have `status`,
    and with `as_page` the firewall's HTML page instead of JSON.
    A list that is asked for more than `most_rows` takes too long for the gateway. Each page of a
    list begins with the `odd_rows`; in place of one row, if `paths` names it, the first is shown.
    """

    delay_s: float = 0.0
    errors: float = 0.0
    cut: float = 0.0
    garbage: float = 0.0
    html: float = 0.0
    refused: float = 0.0
    status: int = 402
    as_page: bool = False
    after: float = 0.5
    paths: str = ""
    methods: str = ""
    at_most: int | None = None
    most_rows: int | None = None
    endless: Endless | None = None
    odd_rows: list[Any] = field(default_factory=list)
    seed: int = 0
    struck: int = 0
    _rng: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        self.endless = self.endless and Endless(self.endless)

    def concerns(self, method: str, path: str) -> bool:
        if self.methods and method not in self.methods.split(","):
            return False
        return path.startswith(self.paths)

    def draw(self, rows: str | None = None) -> tuple[Fault, bool]:
        """What happens to a request, of a list for so many rows, and whether it is carried out
        first.
        """
        if self.at_most is not None and self.struck >= self.at_most:
            return Fault.NONE, True
        if self._is_too_much(rows):
            self.struck += 1
            return Fault.HTML, False
        shares = (
            (Fault.ERROR, self.errors),
            (Fault.CUT, self.cut),
            (Fault.GARBAGE, self.garbage),
            (Fault.HTML, self.html),
            (Fault.REFUSED, self.refused),
        )
        at = self._rng.random()
        for fault, share in shares:
            if at < share:
                self.struck += 1
                return fault, self._rng.random() < self.after
            at -= share
        return Fault.NONE, True

    def _is_too_much(self, rows: str | None) -> bool:
        is_number = rows is not None and rows.isascii() and rows.isdecimal()
        return self.most_rows is not None and is_number and int(rows or 0) > self.most_rows

    def spoils(self, method: str) -> bool:
        """Whether the contents of answers are wrong."""
        return method == "GET" and (self.endless is not None or bool(self.odd_rows))

    def asked(self, url: URL) -> URL:
        """Where a request finds what it is answered with: beyond its end a list begins anew."""
        if url.query.get("cursor", "").startswith(AGAIN):
            return url.without_query_params("cursor")
        return url.without_query_params("start") if self.endless is Endless.ANEW else url

    def spoiled(self, url: URL, told: dict[str, Any]) -> dict[str, Any]:
        """An answer, with its rows and its end as the faults have them."""
        rows = told["data"]
        if not isinstance(rows, list):
            is_named = bool(self.odd_rows and self.paths) and url.path.endswith(self.paths)
            return {"success": True, "data": self.odd_rows[0]} if is_named else told
        is_past = url.query.get("cursor", "").startswith(AGAIN)
        shown = [] if self.endless is Endless.EMPTY and is_past else [*self.odd_rows, *rows]
        more = told.get("additional_data") or {}
        if self.endless is not None:
            more = _unending(url, more, self.endless)
        return {**told, "data": shown, "additional_data": more}


def _unending(url: URL, more: dict[str, Any], endless: Endless) -> dict[str, Any]:
    if "/v2/" in url.path:
        return {**more, "next_cursor": _next_cursor(url, more, endless)}
    start, limit = int(url.query.get("start", 0)), int(url.query.get("limit", 100))
    following = start if endless is Endless.PAGE and start else start + limit
    return {**more, "pagination": {"more_items_in_collection": True, "next_start": following}}


def _next_cursor(url: URL, more: dict[str, Any], endless: Endless) -> Any:
    asked = url.query.get("cursor", "")
    turn = int(asked.removeprefix(AGAIN)) if asked.startswith(AGAIN) else 0
    if endless is Endless.PAGE and asked:
        return asked
    follows = not (endless is Endless.EMPTY and turn) and more.get("next_cursor")
    return follows or f"{AGAIN}{turn + 1}"
