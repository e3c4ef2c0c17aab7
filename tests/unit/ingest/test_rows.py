"""REST rows as changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import payload, rows
from services.ingest.payload import CHANGES
from shared.errors import Poison
from shared.events import Source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HASH = "5d1f0c2f7e0b4b6a9c83d2ee41a7f90b3c6d8e12"

PERSON_V2 = {
    "id": 8,
    "name": "Ada Wong",
    "first_name": "Ada",
    "last_name": "Wong",
    "owner_id": 3,
    "org_id": 5,
    "emails": [{"label": "work", "value": "ada@firm.example", "primary": True}],
    "phones": [],
    "label_ids": [1],
    "add_time": "2026-01-02T03:04:05Z",
    "update_time": "2026-02-03T04:05:06Z",
    "is_deleted": False,
    "visible_to": 3,
    "picture_id": None,
    "custom_fields": {HASH: {"value": 12.5, "currency": "EUR"}},
}
PERSON_V1 = {
    "id": 8,
    "name": "Ada Wong",
    "first_name": "Ada",
    "last_name": "Wong",
    "owner_id": {"id": 3, "name": "Bo", "value": 3},
    "org_id": {"name": "Firm", "value": 5},
    "email": [{"label": "work", "value": "ada@firm.example", "primary": True}],
    "phone": [{"value": "", "primary": True}],
    "label_ids": [1],
    "add_time": "2026-01-02 03:04:05",
    "update_time": "2026-02-03 04:05:06",
    "active_flag": True,
    HASH: 12.5,
    f"{HASH}_currency": "EUR",
}
WEBHOOK_V2 = {
    "id": 8,
    "name": "Ada Wong",
    "first_name": "Ada",
    "last_name": "Wong",
    "owner_id": 3,
    "org_id": 5,
    "emails": [{"label": "work", "value": "ada@firm.example", "primary": True}],
    "phones": [],
    "label_ids": [1],
    "add_time": "2026-01-02T03:04:05Z",
    "update_time": "2026-02-03T04:05:06Z",
    "custom_fields": {HASH: {"type": "monetary", "value": 12.5, "currency": "EUR"}},
}


def told(row: rows.Row, turn: int = 0, company_id: int = 1) -> dict[str, Any]:
    version = row.version(NOW)
    return rows.envelope(
        row, company_id=company_id, version=version, turn=turn, now=NOW, source=Source.SYNC
    )


@pytest.mark.parametrize("raw", [PERSON_V1, WEBHOOK_V2])
def test_every_spelling_of_a_person_says_the_same(raw: dict[str, Any]) -> None:
    assert rows.read("person", raw).data == rows.read("person", PERSON_V2).data


@pytest.mark.parametrize(
    ("entity", "raw", "expected"),
    [
        ("organization", {"employee_count": 12, "website": "w.example"}, {"size": "12"}),
        ("deal", {"value": 3.0, "is_archived": True, "update_time": None}, {"is_archived": True}),
        ("activity", {"done": True, "marked_as_done_time": ""}, {"marked_as_done_time": None}),
        ("lead", {"organization_id": 4, "value": {"amount": 9, "currency": "EUR"}}, {"org_id": 4}),
        ("user", {"active_flag": True, "is_deleted": True}, {"active": False}),
        ("note", {"user_id": 4, "content": "hi"}, {"owner_id": 4}),
    ],
)
def test_a_row_of_each_kind_is_a_change_that_its_model_takes(
    entity: str, raw: dict[str, Any], expected: dict[str, Any]
) -> None:
    number = "adf21080-0e10-11eb-879b-05d71fb426ec" if entity == "lead" else 7
    row = rows.read(entity, {"id": number, "add_time": "2026-01-01T00:00:00Z", **raw})

    change = CHANGES[entity].model_validate(told(row))

    assert change.source is Source.SYNC
    assert change.entity_id == str(number)
    assert {name: getattr(change.data, name) for name in expected} == expected


def test_a_row_counts_as_written_at_the_end_of_its_second() -> None:
    row = rows.read("person", PERSON_V2)

    assert row.version(NOW) == 1_770_091_506_999_999


@pytest.mark.parametrize(
    "raw",
    [
        {"id": 1, "update_time": None, "add_time": "2026-02-03T04:05:06Z"},
        {"id": 1, "update_time": "2026-02-03T04:05:06.123Z", "add_time": "2020-01-01T00:00:00Z"},
        {"id": 1, "modified": "2026-02-03 04:05:06", "created": "2020-01-01 00:00:00"},
    ],
)
def test_a_row_that_was_never_edited_counts_by_when_it_was_added(raw: dict[str, Any]) -> None:
    assert rows.read("person", raw).version(NOW) == 1_770_091_506_999_999


def test_a_row_within_the_second_of_its_last_change_is_unsettled() -> None:
    row = rows.read("person", PERSON_V2)
    written = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)

    assert not row.is_settled(written + timedelta(seconds=0.5))
    assert not row.is_settled(written + timedelta(seconds=2.5))
    assert row.is_settled(written + timedelta(seconds=3.5))


def test_a_row_from_the_future_counts_as_written_when_it_was_asked_for() -> None:
    row = rows.read("person", {"id": 1, "update_time": "2199-01-01T00:00:00Z"})

    assert row.version(NOW) == int(NOW.timestamp()) * 1_000_000


def test_a_row_marked_as_deleted_is_a_delete() -> None:
    row = rows.read("deal", {"id": 4, "is_deleted": True, "update_time": "2026-02-03T04:05:06Z"})

    assert (row.action, row.data, row.is_deleted) == ("delete", None, True)


@pytest.mark.parametrize("raw", [{}, {"id": None}, {"id": "x"}, {"id": -1}, {"id": 1.5}])
def test_a_row_without_a_usable_id_is_poison(raw: dict[str, Any]) -> None:
    with pytest.raises(Poison):
        rows.read("person", raw)


def test_the_event_id_says_what_the_row_says_and_orders_its_turns() -> None:
    row = rows.read("person", PERSON_V2)
    same = rows.read("person", dict(reversed(PERSON_V2.items())))
    other = rows.read("person", {**PERSON_V2, "name": "Ada"})

    assert told(row)["event_id"] == told(same)["event_id"]
    assert told(row)["event_id"] != told(other)["event_id"]
    assert told(row, 0)["event_id"] < told(other, 1)["event_id"] < told(row, 2)["event_id"]


def test_no_two_rows_are_the_same_event_though_they_say_the_same() -> None:
    """Whoever takes no event twice would miss the second of them."""
    twin = rows.read("person", {**PERSON_V2, "id": 9})
    ones = [
        *(told(each) for each in (rows.read("person", PERSON_V2), twin)),
        *(told(rows.gone(entity, number)) for entity in ("person", "deal") for number in "89"),
        told(rows.gone("person", "8"), company_id=2),
    ]

    assert len({each["event_id"] for each in ones}) == len(ones)


@given(st.integers(0, 2_000), st.integers(0, 999))
def test_a_sync_makes_good_for_webhooks_of_its_second_and_undoes_no_later_one(
    seconds: int, millis: int
) -> None:
    written = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    at = written + timedelta(seconds=seconds, milliseconds=millis)
    meta = {"entity": "person", "action": "change", "timestamp": at.isoformat(), "id": "x"}
    webhook = payload.envelope(
        payload.dump({"meta": meta, "data": WEBHOOK_V2}), company_id=1, now=NOW
    )

    is_later = webhook["version"] > rows.read("person", PERSON_V2).version(NOW)

    assert is_later == (seconds > 0)
