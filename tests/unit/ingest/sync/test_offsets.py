"""Pages by offset: whatever leaves or moves while they are read, and however often the reading is
broken off, no row that stays is missed.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.sync.offsets import Place
from shared.pipedrive.paging import Page

Row = dict[str, Any]
LIMIT = 20


class Listed:
    """Rows in the order of a field, as a list by offset shows them."""

    def __init__(self, count: int, sorted_by: str) -> None:
        self.rows: dict[int, Row] = {
            number: {"id": number, "add_time": number, "update_time": number}
            for number in range(1, count + 1)
        }
        self.asked: list[int] = []
        self.shown: list[Row] = []
        self._clock = count
        self._sorted_by = sorted_by

    def page(self, start: int) -> Page:
        self.asked.append(start)
        self.shown = sorted(self.rows.values(), key=lambda row: int(row[self._sorted_by]))
        following = start + LIMIT if start + LIMIT < len(self.shown) else None
        return Page([dict(row) for row in self.shown[start : start + LIMIT]], following)

    def leave(self, number: int) -> None:
        self.rows.pop(number, None)

    def edit(self, number: int) -> None:
        if number in self.rows:
            self._clock += 1
            self.rows[number] = {**self.rows[number], "update_time": self._clock}


class End(Enum):
    """Where the reader dies: before a page is kept with the mark, or after."""

    BEFORE = "before"
    AFTER = "after"


def read(
    listed: Listed,
    sorted_by: str,
    meanwhile: Callable[[int], None],
    ends: Mapping[int, End] = MappingProxyType({}),
) -> list[Row]:
    """All that is handed on and kept; `meanwhile` happens after each page, by its number, and so
    do readers' `ends`. Another reader goes on with what was kept.
    """
    place, found, mark = Place(sorted_by), list[Row](), (0, 1)
    while place.start is not None:
        rows = place.handed_on(listed.page(place.start)).rows
        page = len(listed.asked)
        meanwhile(page)
        if ends.get(page) is not End.BEFORE:
            found += rows
            mark = place.start, place.page_rows
        if page in ends:
            place = Place(sorted_by, *mark, seen={place.key(row) for row in found})
    return found


def leaving(listed: Listed, numbers: Iterable[int], *, after: int) -> Callable[[int], None]:
    """These rows leave after so many pages."""

    def meanwhile(pages: int) -> None:
        if pages == after:
            for number in numbers:
                listed.leave(number)

    return meanwhile


def test_a_list_that_stands_still_is_handed_on_once_and_hardly_read_twice() -> None:
    listed = Listed(100, "add_time")

    found = read(listed, "add_time", lambda _: None)

    assert [row["id"] for row in found] == list(range(1, 101))
    assert listed.asked == [0, 18, 36, 54, 72, 90]


def test_what_follows_a_row_that_left_is_not_passed_over() -> None:
    listed = Listed(60, "add_time")

    found = read(listed, "add_time", leaving(listed, [1], after=1))

    assert [row["id"] for row in found] == list(range(1, 61))


def test_a_changed_row_that_moved_to_the_end_is_handed_on_again_and_its_followers_too() -> None:
    listed = Listed(60, "update_time")

    def meanwhile(pages: int) -> None:
        if pages == 1:
            for number in (1, 2, 3):
                listed.edit(number)

    found = read(listed, "update_time", meanwhile)

    assert [row["id"] for row in found] == [*range(1, 61), 1, 2, 3]


def test_where_more_left_than_two_pages_share_the_place_is_looked_for_further_back() -> None:
    listed = Listed(100, "add_time")

    found = read(listed, "add_time", leaving(listed, range(1, 31), after=3))

    assert [row["id"] for row in found] == list(range(1, 101))


def test_a_list_that_became_shorter_than_what_was_read_of_it_has_an_end() -> None:
    listed = Listed(50, "add_time")

    found = read(listed, "add_time", leaving(listed, range(1, 45), after=2))

    assert {row["id"] for row in found} == {*range(1, 39), *range(45, 51)}


def test_who_goes_on_after_an_end_begins_where_the_one_before_would_have() -> None:
    listed = Listed(100, "add_time")

    found = read(listed, "add_time", lambda _: None, {2: End.AFTER, 4: End.BEFORE})

    assert [row["id"] for row in found] == list(range(1, 101))
    assert listed.asked == [0, 18, 36, 54, 54, 72, 90]


def test_what_left_while_nobody_read_has_the_place_looked_for_further_back() -> None:
    listed = Listed(100, "add_time")

    found = read(
        listed, "add_time", leaving(listed, range(1, 31), after=3), {3: End.AFTER, 4: End.AFTER}
    )

    assert [row["id"] for row in found] == list(range(1, 101))
    assert listed.asked == [0, 18, 36, 54, 34, 14, 32, 50]


lives = st.lists(
    st.lists(st.tuples(st.sampled_from(["leave", "edit"]), st.integers(1, 90)), max_size=30),
    max_size=12,
)
all_ends = st.dictionaries(st.integers(1, 15), st.sampled_from(End))


@given(st.sampled_from(["add_time", "update_time"]), st.integers(0, 90), lives, all_ends)
def test_every_row_that_the_last_page_could_show_was_handed_on_once(
    sorted_by: str, count: int, life: list[list[tuple[str, int]]], ends: dict[int, End]
) -> None:
    listed = Listed(count, sorted_by)

    def meanwhile(pages: int) -> None:
        for what, number in life[pages - 1] if pages <= len(life) else []:
            getattr(listed, what)(number)

    found = read(listed, sorted_by, meanwhile, ends)

    handed_on = [(row["id"], row[sorted_by]) for row in found]
    assert len(handed_on) == len(set(handed_on))
    assert {(row["id"], row[sorted_by]) for row in listed.shown} <= set(handed_on)
