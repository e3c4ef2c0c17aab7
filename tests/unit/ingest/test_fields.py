"""Each fact is found under every name that Pipedrive has for it."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from services.ingest import fields, values
from shared import events
from shared.events import Organization
from shared.kafka.client import MAX_MESSAGE_BYTES
from shared.states import OrganizationState

AT = datetime(2026, 5, 27, 6, 54, 41, tzinfo=UTC)
HASH = "5d1f0c2f7e0b4b6a9c83d2ee41a7f90b3c6d8e12"


def test_a_person_is_the_same_in_every_spelling() -> None:
    emails = [{"label": "work", "value": "a@firm.example", "primary": True}]
    expected = {
        "name": "Ann",
        "job_title": "Boss",
        "emails": emails,
        "phones": [],
        "org_id": 3,
        "owner_id": 5,
        "label_ids": [14],
        "add_time": AT,
        "update_time": None,
        "custom_fields": {HASH: 0.4},
    }
    nothing = [{"value": "", "primary": True}]
    common: dict[str, Any] = {"name": "Ann", "job_title": "Boss", "update_time": None}
    webhook_v1 = {
        **common,
        "email": emails,
        "phone": nothing,
        "org_id": 3,
        "org_name": "Firm",
        "owner_id": 5,
        "label": 14,
        "add_time": "2026-05-27 06:54:41",
        HASH: 0.4,
        f"{HASH}_currency": "EUR",
    }
    rest_v1 = webhook_v1 | {"org_id": {"value": 3, "name": "Firm"}, "owner_id": {"id": 5}}
    webhook_v2 = {
        **common,
        "emails": emails,
        "phones": [],
        "org_id": 3,
        "owner_id": 5,
        "label_ids": [14],
        "add_time": "2026-05-27T06:54:41Z",
        "custom_fields": {HASH: {"type": "double", "value": 0.4}},
    }
    rest_v2 = webhook_v2 | {"custom_fields": {HASH: 0.4}, "is_deleted": False, "visible_to": 3}

    for raw in (webhook_v1, rest_v1, webhook_v2, rest_v2):
        assert fields.read("person", raw) == expected


def test_what_a_body_lacks_stays_absent_and_null_stays_null() -> None:
    assert fields.read("person", {"org_id": None}) == {"org_id": None}
    assert fields.read("deal", {"value": "a lot"}) == {"value": None}
    assert fields.read("organization", {"name": "Firm"}) == {"name": "Firm"}


def test_an_address_is_spread_whether_it_is_text_or_an_object() -> None:
    flat = {
        "address": "Pikk 1, Tallinn",
        "address_formatted_address": "Pikk 1, 10123 Tallinn, Estonia",
        "address_country": "Estonia",
        "address_locality": "Tallinn",
        "address_postal_code": "10123",
    }
    nested = {
        "address": {
            "value": "Pikk 1, Tallinn",
            "formatted_address": "Pikk 1, 10123 Tallinn, Estonia",
            "country": "Estonia",
            "locality": "Tallinn",
            "postal_code": "10123",
        }
    }
    expected = {
        "address": "Pikk 1, Tallinn",
        "country": "Estonia",
        "city": "Tallinn",
        "postcode": "10123",
    }

    assert fields.read("organization", flat) == expected
    assert fields.read("organization", nested) == expected


def test_an_address_is_told_as_it_was_written_wherever_it_is_told_with_another_spelling() -> None:
    """REST of version 2 has the written one alone."""
    written, formatted = "Pikk 1, Tallinn", "Pikk 1, 10123 Tallinn, Estonia"
    bodies: list[dict[str, Any]] = [
        {"address": {"value": written}},
        {"address": {"value": written, "formatted_address": formatted}},
        {"address": written, "address_formatted_address": formatted},
        {"address_formatted_address": formatted, "address": written},
    ]

    assert {fields.read("organization", body)["address"] for body in bodies} == {written}
    without = {"address": "", "address_formatted_address": formatted}
    assert fields.read("organization", without)["address"] == formatted


def test_an_address_as_mere_text_says_nothing_about_its_parts() -> None:
    found = fields.read("organization", {"address": "Pikk 1", "country_code": "EE"})

    assert found == {"address": "Pikk 1", "country": "EE"}


def test_no_address_has_no_parts() -> None:
    found = fields.read("organization", {"address": None, "country_code": "EE"})

    assert found == {"address": None, "country": "EE", "city": None, "postcode": None}


@pytest.mark.parametrize("said", [2, "2", 2.0, {"type": "enum", "id": 2}, {"value": "2"}])
def test_the_id_of_an_option_says_nothing_about_the_industry(said: Any) -> None:
    assert fields.read("organization", {"name": "Firm", "industry": said}) == {"name": "Firm"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Finance", "Finance"),
        ({"type": "varchar", "value": "Finance"}, "Finance"),
        ("3D Printing", "3D Printing"),
        (None, None),
        ("", None),
        ({"type": "enum", "id": None}, None),
    ],
)
def test_an_industry_in_words_or_none_is_told(said: Any, expected: str | None) -> None:
    assert fields.read("organization", {"industry": said}) == {"industry": expected}


def test_the_number_of_employees_is_the_size() -> None:
    assert fields.read("organization", {"employee_count": 250}) == {"size": "250"}


def test_an_activity_that_is_not_done_has_no_moment() -> None:
    raw = {
        "user_id": {"id": 5, "value": 5},
        "done": 0,
        "due_date": "2026-05-27",
        "marked_as_done_time": "",
        "lead_id": "b1810230-6c0d-11ed-9826-a53d0eb706a5",
        "add_time": "0000-00-00 00:00:00",
    }

    assert fields.read("activity", raw) == {
        "owner_id": 5,
        "done": False,
        "due_date": date(2026, 5, 27),
        "marked_as_done_time": None,
        "lead_id": "b1810230-6c0d-11ed-9826-a53d0eb706a5",
        "add_time": None,
    }


def test_an_activity_that_is_opened_again_has_no_moment_any_more() -> None:
    """Webhooks of version 2 leave it out; REST has been seen to keep the old one."""
    at = "2026-05-27T06:54:41Z"
    opened = {"done": False, "marked_as_done_time": None}

    assert fields.read("activity", {"done": False}) == opened
    assert fields.read("activity", {"done": False, "marked_as_done_time": at}) == opened
    assert fields.read("activity", {"done": True}) == {"done": True}
    assert fields.read("activity", {"subject": "Call"}) == {"subject": "Call"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"value": {"amount": 500, "currency": "EUR"}}, {"value": 500.0, "currency": "EUR"}),
        ({"value": None}, {"value": None, "currency": None}),
        ({"value": 500}, {"value": 500.0}),
        ({}, {}),
        ({"organization_id": 2, "label_ids": ["x"]}, {"org_id": 2, "label_ids": ["x"]}),
    ],
)
def test_a_leads_money_is_spread(raw: dict[str, Any], expected: dict[str, Any]) -> None:
    assert fields.read("lead", raw) == expected


def test_a_deleted_user_is_an_inactive_one() -> None:
    raw = {
        "name": "Ann",
        "active_flag": True,
        "is_deleted": True,
        "created": "2026-05-27 06:54:41",
    }

    assert fields.read("user", raw) == {"name": "Ann", "active": False, "add_time": AT}
    assert not fields.is_deleted("user", raw)


@pytest.mark.parametrize(
    ("entity", "raw", "expected"),
    [
        ("person", {"active_flag": False}, True),
        ("person", {"active_flag": True}, False),
        ("organization", {"is_deleted": True}, True),
        ("deal", {"deleted": True}, True),
        ("deal", {"status": "deleted"}, True),
        ("deal", {"status": "lost", "deleted": False, "active": False}, False),
        ("activity", {"active_flag": False}, True),
        ("pipeline", {"active_flag": False}, False),
        ("lead", {"is_archived": True}, False),
    ],
)
def test_a_body_may_show_what_is_gone(entity: str, raw: dict[str, Any], expected: bool) -> None:
    assert fields.is_deleted(entity, raw) is expected


@pytest.mark.parametrize("letter", ["x", "花", "😀", "\u0001", '"'])
def test_the_longest_texts_that_an_organization_can_show_fit_into_one_message(
    letter: str,
) -> None:
    """Each may come from a record of its own, in a webhook as large as is taken."""
    long = letter * 1_000_000
    parts = {"country": long, "locality": long, "postal_code": long}
    body = {"name": long, "industry": long, "website": long, "employee_count": long}
    read = fields.read("organization", body | {"address": {"value": long, **parts}})
    told = Organization.model_validate(read).model_dump(exclude_unset=True)
    shown = {name: said for name, said in told.items() if name in OrganizationState.model_fields}

    state = OrganizationState(version=1, company_id=1, organization_id=UUID(int=1), **shown)

    assert len(shown) == 7
    assert len(events.dump(state)) < MAX_MESSAGE_BYTES / 10


def test_a_text_is_cut_where_no_page_has_room_for_more_but_a_note_is_kept_whole() -> None:
    long = "é" * values.LONGEST + "x"
    cut = long[: values.LONGEST]

    assert fields.read("activity", {"subject": long}) == {"subject": cut}
    assert fields.read("person", {"name": cut, "email": long}) == {
        "name": cut,
        "emails": [{"value": cut, "label": None, "primary": False}],
    }
    assert fields.read("person", {"name": " " * values.LONGEST + "x"}) == {"name": None}
    assert fields.read("note", {"content": long}) == {"content": long}


def test_version_1_without_custom_fields_says_nothing_about_them() -> None:
    assert fields.custom_fields({"name": "Ann", "a" * 39: 1, "g" * 40: 1}) is None
    assert fields.custom_fields({"custom_fields": {}}) == {}
