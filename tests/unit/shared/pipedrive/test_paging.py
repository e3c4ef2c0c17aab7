from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pipedrive import paging
from shared.pipedrive.errors import Endless
from shared.pipedrive.paging import MOST_IN_VAIN, Course, Page

ROW = {"id": 1}


@pytest.mark.parametrize(
    ("path", "envelope", "expected"),
    [
        ("/v2/persons", {"data": [ROW], "additional_data": {"next_cursor": "abc"}}, "abc"),
        ("/v2/persons", {"data": [ROW], "additional_data": {"next_cursor": None}}, None),
        ("/v2/persons", {"data": [ROW]}, None),
        (
            "/v1/leads",
            {
                "data": [ROW],
                "additional_data": {
                    "pagination": {
                        "start": 0,
                        "limit": 1,
                        "more_items_in_collection": True,
                        "next_start": 1,
                    }
                },
            },
            1,
        ),
        (
            "/v1/leads",
            {
                "data": [ROW],
                "additional_data": {"start": 4, "limit": 2, "more_items_in_collection": True},
            },
            6,
        ),
        (
            "/v1/leads",
            {
                "data": [ROW],
                "additional_data": {"pagination": {"more_items_in_collection": False}},
            },
            None,
        ),
        ("/v1/users", {"data": [ROW], "additional_data": {"company_id": 1}}, None),
    ],
)
def test_a_page_knows_where_the_next_begins(
    path: str, envelope: dict[str, Any], expected: paging.Mark
) -> None:
    assert paging.page(path, envelope) == Page([ROW], expected)


@pytest.mark.parametrize("data", [None, [], {}, "x"])
def test_an_empty_list_is_an_empty_page(data: Any) -> None:
    assert paging.page("/v1/leads", {"data": data, "additional_data": None}) == Page([], None)


def test_rows_that_are_no_objects_are_left_out_and_counted() -> None:
    listed = [None, ROW, "x", 7, [], {}]

    assert paging.page("/v2/persons", {"data": listed}) == Page([ROW, {}], None, odd=4)


def test_the_items_of_a_search_are_its_rows() -> None:
    hit = {"result_score": 0.5, "item": {"id": 1}}

    assert paging.page("/v2/persons/search", {"data": {"items": [hit]}}).rows == [hit]


def pages(rows: list[dict[str, Any]], size: int) -> list[Page]:
    return [Page(rows[start : start + size], "on") for start in range(0, len(rows), size)]


def passed(course: Course, following: list[Page]) -> int:
    """How many of the pages it takes."""
    for number, page in enumerate(following):
        try:
            course.pass_on(page)
        except Endless:
            return number
    return len(following)


@given(st.integers(1, 60), st.integers(1, 12))
def test_a_list_that_ends_is_read_and_one_that_begins_anew_is_left_soon_after(
    rows: int, size: int
) -> None:
    listed = [{"id": number + 1, "update_time": None} for number in range(rows)]
    once = pages(listed, size)
    for_ever = pages(listed * (len(once) + 2 * MOST_IN_VAIN) * size, size)

    assert passed(Course(), once) == len(once)
    assert passed(Course(), for_ever) < len(once) + MOST_IN_VAIN


def test_a_row_that_was_changed_meanwhile_and_comes_again_is_new() -> None:
    course = Course()

    for second in range(10 * MOST_IN_VAIN):
        course.pass_on(Page([{"id": 1, "update_time": f"2026-01-02T03:04:{second:02}Z"}], "on"))


@pytest.mark.parametrize("rows", [[], [{}], [{"id": None}, {"id": [1]}, {"id": ""}, {"id": True}]])
def test_pages_without_any_row_are_in_vain(rows: list[dict[str, Any]]) -> None:
    course = Course()
    course.pass_on(Page([{"id": 1}], "on"))

    assert passed(course, [Page(rows, "on")] * MOST_IN_VAIN) == MOST_IN_VAIN - 1


def test_a_mark_is_asked_for_in_the_lists_own_way() -> None:
    assert paging.at("/v2/persons", "abc") == {"cursor": "abc"}
    assert paging.at("/v1/leads", 500) == {"start": 500}
    assert paging.at("/v1/leads", None) == {}


def test_parameters_are_spelled_as_the_api_reads_them() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

    spelled = paging.spelled(
        {"done": True, "ids": [1, 2], "since": at, "term": "a b", "limit": 5, "none": None}
    )

    assert spelled == {
        "done": "true",
        "ids": "1,2",
        "since": "2026-01-02T03:04:05Z",
        "term": "a b",
        "limit": "5",
    }
