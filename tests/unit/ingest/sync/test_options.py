"""Which names the lists of fields give to options, and where they are put in."""

from typing import Any

import pytest

from services.ingest.sync import lists, options
from services.ingest.sync.options import Option

NAMES = {"industry": {1: "Technology", 2: "Finance"}}
INDUSTRY = {
    "field_code": "industry",
    "field_type": "enum",
    "options": [{"id": 1, "label": "Technology"}, {"id": 2, "label": "Finance", "color": None}],
}


def listed(of: lists.List, *rows: dict[str, Any]) -> list[Option]:
    return list(options.listed(of, rows))


def test_the_list_of_an_organizations_fields_names_the_options_of_its_industry() -> None:
    another = {**INDUSTRY, "field_code": "5d1f0c2f7e0b4b6a9c83d2ee41a7f90b3c6d8e12"}

    assert listed(lists.FIELDS_OF["organization"], another, INDUSTRY) == [
        Option("organization", "industry", 1, "Technology"),
        Option("organization", "industry", 2, "Finance"),
    ]
    assert listed(lists.FIELDS_OF["person"], INDUSTRY) == []
    assert listed(lists.ORGANIZATIONS, INDUSTRY) == []


@pytest.mark.parametrize(
    "found", [None, "x", {"id": 1}, [None, {"id": None, "label": "x"}, {"id": 3, "label": " "}]]
)
def test_options_that_cannot_be_read_name_nothing(found: Any) -> None:
    assert listed(lists.FIELDS_OF["organization"], {**INDUSTRY, "options": found}) == []


@pytest.mark.parametrize("said", [2, "2", {"type": "enum", "id": 2}])
def test_a_known_option_is_named_in_every_spelling(said: Any) -> None:
    row = {"id": 7, "industry": said}

    assert options.named(row, NAMES) == {"id": 7, "industry": "Finance"}
    assert not options.are_unnamed("organization", [row], NAMES)


@pytest.mark.parametrize("said", [3, "3", {"type": "enum", "id": 3}])
def test_an_unknown_option_stays_as_it_came_and_is_missed(said: Any) -> None:
    row = {"id": 7, "industry": said}

    assert options.named(row, NAMES) is row
    assert options.are_unnamed("organization", [{"id": 6}, row], NAMES)


@pytest.mark.parametrize("said", [None, "Finance", ""])
def test_a_row_without_an_option_is_left_as_it_is(said: Any) -> None:
    row = {"id": 7, "industry": said}

    assert options.named(row, NAMES) is row
    assert not options.are_unnamed("organization", [row], NAMES)


def test_other_rows_have_no_options_that_are_missed() -> None:
    assert not options.are_unnamed("person", [{"id": 7, "industry": 3}], options.NONE)
