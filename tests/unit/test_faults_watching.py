"""A page that shows less than somebody has seen is old, be it empty."""

from typing import Any

from tests.faults import watching
from tests.faults.watching import Look


def an_answer(*names: str) -> dict[str, Any]:
    return {"data": {"contacts": [{"name": name} for name in names]}}


def test_an_empty_page_is_older_than_any_that_shows_the_contact() -> None:
    numbers = [watching.number_on(an_answer(*names)) for names in ((), ("Probe 0",), ("Probe 7",))]
    looks = [Look("query-1", 1.0, 1.1, number, 0, flagged=False) for number in numbers]

    assert numbers == [-1, 0, 7]
    assert watching.older(looks, []) == looks[:1]
    assert watching.older(looks, [(1.0, 2.0)]) == []
