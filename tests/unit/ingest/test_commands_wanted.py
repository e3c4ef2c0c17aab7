"""What is asked of Pipedrive, and which of its rows that made."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.ingest.commands import wanted
from services.ingest.commands.wanted import Wanted
from shared.tenants import CustomFields

SENT = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
HASH = "5d1f0c2f7e0b4b6a9c83d2ee41a7f90b3c6d8e12"


def a_person(**changes: Any) -> Wanted:
    asked = {
        "name": "Ann Other",
        "email": "Ann@Acme.example",
        "phone": "+1 555-0100",
        "job_title": None,
        "org_id": 3,
        "owner_id": 1001,
        "custom": CustomFields(),
    }
    return wanted.person(**(asked | changes))


def a_row(**changes: Any) -> dict[str, Any]:
    row = {
        "id": 8,
        "name": "Ann Other",
        "owner_id": 1001,
        "org_id": 3,
        "emails": [{"value": "ann@acme.example", "primary": True, "label": "work"}],
        "phones": [{"value": "+15550100", "primary": True, "label": "work"}],
        "add_time": "2026-01-02T03:04:06Z",
    }
    return row | changes


def test_a_row_in_tidied_spelling_is_what_was_asked_for() -> None:
    assert a_person().is_made_by(a_row(name="ann  other"), SENT)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Ann Otherwise"},
        {"owner_id": 1002},
        {"org_id": None},
        {"emails": []},
        {"phones": [{"value": "+1 555 0101"}]},
        {"add_time": "2026-01-02T02:59:00Z"},
        {"add_time": None},
    ],
)
def test_a_row_that_says_something_else_is_not(change: dict[str, Any]) -> None:
    assert not a_person().is_made_by(a_row(**change), SENT)


def test_clocks_may_differ_a_little() -> None:
    early = f"{SENT - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"

    assert a_person().is_made_by(a_row(add_time=early), SENT)


def test_what_is_not_wanted_is_not_sent() -> None:
    bare = a_person(email=None, phone=None, org_id=None)

    assert bare.body == {"name": "Ann Other", "owner_id": 1001}


def test_a_job_title_goes_where_the_company_keeps_it() -> None:
    own = a_person(job_title="CEO", custom=CustomFields(job_title=HASH))

    assert a_person(job_title="CEO").body["job_title"] == "CEO"
    assert own.body["custom_fields"] == {HASH: "CEO"}
    assert "job_title" not in own.body


def test_an_activity_names_its_person_as_a_participant() -> None:
    call = wanted.activity(
        type_key="call",
        subject="Hello",
        person_id=8,
        due_date=date(2026, 1, 2),
        done=True,
        owner_id=1001,
    )
    row = {
        "id": 5,
        "subject": "Hello",
        "type": "call",
        "person_id": 8,
        "owner_id": 1001,
        "due_date": "2026-01-02",
        "done": True,
        "add_time": "2026-01-02T03:04:05Z",
    }

    assert call.body["participants"] == [{"person_id": 8, "primary": True}]
    assert "person_id" not in call.body
    assert call.is_made_by(row, SENT)
    assert not call.is_made_by(row | {"person_id": 9}, SENT)
    assert not call.is_made_by(row | {"done": False}, SENT)


@pytest.mark.parametrize(
    ("add_time", "expected"),
    [
        ("2026-01-02T03:02:04Z", True),
        ("2026-01-02T03:02:05Z", False),
        ("2026-01-02 03:02:04", True),
        (None, False),
    ],
)
def test_a_row_is_older_only_by_more_than_clocks_may_be_apart(
    add_time: str | None, expected: bool
) -> None:
    assert wanted.is_older(a_row(add_time=add_time), SENT) is expected


def test_an_organizations_address_may_come_back_in_other_words() -> None:
    acme = wanted.organization(
        name="Acme", owner_id=1, address="Main St 1", website="acme.example"
    )
    row = {"name": "Acme", "owner_id": 1, "add_time": "2026-01-02T03:04:05Z", "address": None}

    assert acme.is_made_by(row, SENT)


def test_an_organization_is_found_whoever_of_the_company_was_first_to_ask_for_it() -> None:
    acme = wanted.organization(name="Acme", owner_id=1, address=None, website=None)
    row = {"name": "Acme", "owner_id": 2, "add_time": "2026-01-02T03:04:05Z"}

    assert acme.body["owner_id"] == 1
    assert acme.filters == {}
    assert acme.is_made_by(row, SENT)
    assert not acme.is_made_by(row | {"name": "Acme Two"}, SENT)
