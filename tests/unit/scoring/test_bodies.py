"""What counts in a body, however odd it is."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.scoring import bodies
from shared.events import (
    Action,
    Activity,
    Change,
    ContactPoint,
    Deal,
    Fact,
    Lead,
    Person,
    Source,
)
from shared.tenants import UNKNOWN, CustomFields, Tenant

AT = datetime(2026, 5, 5, 12, tzinfo=UTC)
TENANT = Tenant(
    company_id=1,
    webhook_user="hook",
    webhook_password=SecretStr("secret"),
    lead_labels={"hot": "qualified", "17": "contacted"},
    custom_fields=CustomFields(job_title="aa", lead_status="bb", response_rate="cc"),
)


def a_change(data: Fact | None, action: Action = Action.CHANGE) -> Change[Any]:
    return Change(
        event_id="e",
        company_id=1,
        entity="any",
        entity_id="1",
        action=action,
        version=1,
        occurred_at=AT,
        received_at=AT,
        source=Source.SYNC,
        data=data,
    )


def test_absent_fields_say_nothing_and_null_says_null() -> None:
    assert bodies.person(a_change(Person(name="Eve")), TENANT) == {}
    assert bodies.person(a_change(Person(org_id=None, emails=None)), TENANT) == {
        "has_email": False,
        "org_id": None,
    }
    assert bodies.person(a_change(None, Action.DELETE), TENANT) == {}


def test_custom_fields_are_those_that_the_tenant_names() -> None:
    body = Person(custom_fields={"aa": " Boss ", "bb": "Qualified", "cc": "60 %", "dd": 1})

    assert bodies.person(a_change(body), UNKNOWN) == {}
    assert bodies.person(a_change(body), TENANT) == {
        "custom_job_title": "Boss",
        "lead_status": bodies.QUALIFIED,
        "response_rate": 0.6,
    }
    assert bodies.person(a_change(Person(custom_fields={"aa": None})), TENANT) == {
        "custom_job_title": None
    }


def test_an_address_of_spaces_is_none() -> None:
    blank = (ContactPoint(value=" "), ContactPoint(value=""))

    assert bodies.person(a_change(Person(emails=blank)), TENANT) == {"has_email": False}


def test_labels_of_a_lead_are_statuses() -> None:
    both = Lead(label_ids=("hot", "17", "other"), custom_fields={"bb": [17]})

    assert bodies.lead(a_change(both), TENANT) == {
        "label_status": bodies.QUALIFIED | bodies.CONTACTED,
        "custom_status": bodies.CONTACTED,
    }


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ([123, 456], bodies.QUALIFIED | bodies.CONTACTED),
        ("123,456", bodies.QUALIFIED | bodies.CONTACTED),
        ("789, 456", bodies.CONTACTED),
        ("qualified, Contacted", bodies.QUALIFIED | bodies.CONTACTED),
        ("hot, now", bodies.QUALIFIED),
        ("1234,", 0),
        ("", 0),
    ],
)
def test_several_options_say_the_same_in_a_list_and_in_a_text_with_commas(
    said: object, understood: int
) -> None:
    labels = {"123": "qualified", "456": "contacted", "hot, now": "qualified"}

    assert bodies.status(said, labels) == understood


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (0.6, 0.6),
        ("0.6", 0.6),
        ("0,6", 0.6),
        ("60%", 0.6),
        (" 60 % ", 0.6),
        (60, 0.6),
        (1, 1.0),
        ("0.5%", 0.005),
        (0, 0.0),
        (True, None),
        (-1, None),
        (101, None),
        ("nan", None),
        ("inf", None),
        (10**400, None),
        ("often", None),
        ("", None),
        (None, None),
        ([0.6], None),
        ({"value": 0.6}, None),
    ],
)
def test_response_rates_are_shares_or_nothing(said: object, understood: float | None) -> None:
    assert bodies.rate(said) == understood


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_no_custom_value_is_too_odd(value: Any) -> None:
    person = Person(custom_fields={"aa": value, "bb": value, "cc": value})
    carried = bodies.person(a_change(person), TENANT)

    assert carried["response_rate"] is None or 0 <= carried["response_rate"] <= 1
    assert carried["lead_status"] in {0, 1, 2, 3}
    assert carried["custom_job_title"] is None or "\x00" not in carried["custom_job_title"]


def test_amounts_stay_finite() -> None:
    carried = [
        bodies.deal(a_change(Deal(value=value)), TENANT)["amount"]
        for value in (None, float("nan"), float("inf"), -1e308, 5.5)
    ]

    assert carried == [0, 0, 1e15, -1e15, 5.5]


def test_currencies_and_types_have_one_spelling() -> None:
    deal = bodies.deal(a_change(Deal(currency=" eur\x00", status="Lost")), TENANT)
    activity = bodies.activity(a_change(Activity(type="Meeting")), TENANT)

    assert deal == {"currency": "EUR", "is_lost": True}
    assert activity == {"occurred_at": AT, "kind": "meeting"}


def test_a_delete_does_not_say_when_an_activity_occurred() -> None:
    assert bodies.activity(a_change(Activity(done=True), Action.DELETE), TENANT) == {"done": True}


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({"done": False, "done_at": AT}, None),
        ({"done_at": AT, "due_date": date(2026, 1, 1)}, AT),
        ({"due_date": date(2026, 1, 1)}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"due_date": date(2026, 9, 9)}, AT),
        ({}, AT),
        ({"occurred_at": None}, None),
    ],
)
def test_the_moment_of_an_activity(fields: dict[str, Any], moment: datetime | None) -> None:
    row = {"done": True, "done_at": None, "due_date": None, "occurred_at": AT} | fields

    assert bodies.moment(row) == moment
