"""Rows of the double's REST API look as Pipedrive's do, lived or generated."""

from datetime import UTC, datetime

import orjson
import pytest

from devstack.pipedrive.api import generated, rows
from devstack.pipedrive.api.tables import Tables
from devstack.pipedrive.company import EVENTFUL, Company
from devstack.pipedrive.world import Sizes
from tests.support import rest_shapes

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
SIZE = generated.Size(users=3, persons=700, organizations=90, activities=900)


@pytest.fixture(scope="module")
def tables() -> Tables:
    """All that ever was, after an eventful life."""
    lived = Tables()
    for change in Company(5, Sizes(2, 60, 20, 15.0), EPOCH, EVENTFUL).history():
        lived.apply(change)
    return lived


@pytest.mark.parametrize("entity", sorted(rows.SPELLED))
def test_every_row_of_a_life_has_the_shape_of_its_kind(tables: Tables, entity: str) -> None:
    table = tables[entity]
    found = [table.get(row_id) for row_id in table._states]

    assert len(found) > 1
    problems = [
        problem
        for state in found
        if state is not None
        for problem in rest_shapes.differences(entity, rows.SPELLED[entity](state))
    ]
    assert problems == []


@pytest.mark.parametrize("entity", ["person", "organization", "activity"])
def test_a_generated_row_is_what_its_state_spells(entity: str) -> None:
    base = generated.bases(SIZE, EPOCH)[entity]

    for number in range(1, base.count + 1):
        row = orjson.loads(base.json(number))
        assert row == rows.SPELLED[entity](base.state(number))
        assert list(rest_shapes.differences(entity, row)) == []


@pytest.mark.parametrize("entity", ["person", "organization", "activity"])
def test_generated_rows_were_added_in_the_order_of_their_numbers(entity: str) -> None:
    base = generated.bases(SIZE, EPOCH)[entity]

    times = [base.time(number) for number in range(1, base.count + 1)]

    assert times == sorted(times)
    assert times[-1] < "2026-03-01T00:00:00Z"


def test_custom_fields_are_plain_values() -> None:
    typed = {
        "a": {"type": "double", "value": 0.5},
        "b": {"type": "enum", "id": 16},
        "c": {"type": "set", "values": [{"id": 1}, {"id": 2}]},
        "d": {"type": "monetary", "value": 10, "currency": "EUR"},
        "e": {"type": "user", "id": 7},
        "f": None,
    }

    plain = rows.custom_fields({"custom_fields": typed})

    assert plain == {
        "a": 0.5,
        "b": 16,
        "c": [1, 2],
        "d": {"value": 10, "currency": "EUR"},
        "e": 7,
        "f": None,
    }


def test_what_was_made_and_never_edited_has_no_update_time_but_for_activities(
    tables: Tables,
) -> None:
    fresh = Tables()
    for change in Company(5, Sizes(2, 60, 20, 15.0), EPOCH, EVENTFUL).history():
        if change.action == "create" and fresh[change.entity].get(change.entity_id) is None:
            fresh.apply(change)

    times = {
        entity: {fresh[entity].get(row_id)["update_time"] for row_id in fresh[entity]._states}
        for entity in ("person", "organization", "deal", "activity")
    }
    assert times["person"] == times["organization"] == times["deal"] == {None}
    assert None not in times["activity"]


def test_what_was_deleted_stays_marked_with_the_time_of_its_end(tables: Tables) -> None:
    gone = [s for s in tables["person"]._states.values() if s.get("gone")]

    assert gone
    for state in gone:
        row = rows.person(state)
        assert row["is_deleted"] is True
        assert (
            row["update_time"] == f"{tables['person'].last_change(row['id']):%Y-%m-%dT%H:%M:%SZ}"
        )
