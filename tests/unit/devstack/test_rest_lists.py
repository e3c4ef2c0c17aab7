"""Lists of the double: whatever rows there are and whatever is asked for, pages add up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.pipedrive.api import asking, generated, lists
from devstack.pipedrive.api.asking import Rejected
from devstack.pipedrive.api.lists import Sight
from devstack.pipedrive.api.tables import Table
from devstack.pipedrive.company import EVENTFUL, Company
from devstack.pipedrive.world import Sizes

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
SIZE = generated.Size(users=2, persons=30, organizations=7, activities=40)
ALL = Sight()

Edits = st.lists(
    st.tuples(st.integers(1, 36), st.sampled_from(["edit", "fresh", "gone", "purged"])),
    max_size=25,
)


def table_of(edits: list[tuple[int, str]]) -> Table:
    """Thirty generated persons, some of them and some others altered."""
    base = generated.bases(SIZE, EPOCH)["person"]
    table = Table("person", base)
    for turn, (number, what) in enumerate(edits):
        if what == "purged":
            table.purge(number)
            continue
        at = EPOCH - timedelta(hours=30 - turn)
        state = {**(table.get(number) or base.state(number)), "id": number}
        state.pop("gone", None)
        state["update_time"] = None if what == "fresh" else f"{at:%Y-%m-%dT%H:%M:%SZ}"
        table.put({**state, "gone": True} if what == "gone" else state, at)
    return table


def walk(table: Table, query: dict[str, str], sight: Sight = ALL) -> list[dict[str, Any]]:
    """All pages, by cursor."""
    found: list[dict[str, Any]] = []
    while True:
        page = orjson.loads(lists.v2(table, asking.v2("person", query), sight))
        found += page["data"]
        following = page["additional_data"]["next_cursor"]
        if following is None:
            return found
        query = {**query, "cursor": following}


@settings(max_examples=60, deadline=None)
@given(
    Edits,
    st.integers(1, 12),
    st.sampled_from(["id", "add_time", "update_time"]),
    st.sampled_from(["asc", "desc"]),
    st.booleans(),
)
def test_pages_of_any_size_hold_each_living_row_once_in_the_order_asked_for(
    edits: list[tuple[int, str]], limit: int, sort_by: str, direction: str, shows_deleted: bool
) -> None:
    table = table_of(edits)
    query = {"limit": str(limit), "sort_by": sort_by, "sort_direction": direction}

    found = walk(table, query, Sight(shows_deleted=shows_deleted))

    states = [state for number in range(1, 37) if (state := table.get(number)) is not None]
    wanted = [state for state in states if shows_deleted or not state.get("gone")]
    wanted.sort(key=lambda s: (s[sort_by] or "", s["id"]), reverse=direction == "desc")
    assert [row["id"] for row in found] == [state["id"] for state in wanted]


@settings(max_examples=60, deadline=None)
@given(Edits, st.integers(1, 12), st.sampled_from(["id", "update_time"]), st.integers(0, 40))
def test_updated_since_holds_exactly_the_rows_that_have_a_later_time_or_the_same(
    edits: list[tuple[int, str]], limit: int, sort_by: str, hours: int
) -> None:
    table = table_of(edits)
    since = f"{EPOCH - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
    query = {"limit": str(limit), "sort_by": sort_by, "updated_since": since}

    found = walk(table, query)

    wanted = {
        number
        for number in range(1, 37)
        if (state := table.get(number)) is not None
        and not state.get("gone")
        and (state["update_time"] or "") >= since
    }
    assert {row["id"] for row in found} == wanted
    assert len(found) == len(wanted)


def test_ids_that_are_not_there_are_left_out() -> None:
    table = table_of([(3, "gone"), (4, "purged"), (5, "edit")])

    found = walk(table, {"ids": "1,3,4,5,99", "limit": "1"})

    assert [row["id"] for row in found] == [1, 5]


def test_what_is_hidden_from_the_user_is_in_no_list() -> None:
    found = walk(table_of([]), {"limit": "500"}, Sight(hidden={"person": {1, 2}}))

    assert [row["id"] for row in found] == list(range(3, 31))


def test_a_filter_narrows_the_list_and_a_saved_filter_disables_it() -> None:
    table = table_of([])

    mine = walk(table, {"owner_id": "1001", "limit": "500"})
    everybody = walk(table, {"owner_id": "1001", "filter_id": "7", "limit": "500"})

    assert {row["owner_id"] for row in mine} == {1001}
    assert len(everybody) == 30


def test_archived_deals_and_leads_have_lists_of_their_own() -> None:
    table = Table("lead")
    for change in Company(5, Sizes(2, 60, 20, 15.0), EPOCH, EVENTFUL).history():
        if change.entity == "lead":
            table.apply(change)
    asked = asking.v1("lead", {"limit": "500"})

    current = orjson.loads(lists.v1(table, asked, ALL))["data"]
    archived = orjson.loads(lists.v1(table, asked, ALL, archived=True))["data"]

    assert {row["is_archived"] for row in current} == {False}
    assert {row["is_archived"] for row in archived} == {True}


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "x"},
        {"sort_by": "name"},
        {"sort_direction": "up"},
        {"cursor": "garbage"},
        {"ids": "1,b"},
        {"ids": ",".join(map(str, range(101)))},
        {"updated_since": "yesterday"},
        {"owner_id": "me"},
        {"custom_fields": ",".join("abcdefghijklmnop")},
    ],
)
def test_what_cannot_be_understood_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(Rejected) as told:
        asking.v2("person", query)

    assert told.value.status == 400
