"""Odd values become null, never an error and never another value."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import values
from shared.events import BIGINT_MAX

AT = datetime(2026, 5, 27, 6, 54, 41, tzinfo=UTC)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.datetimes().map(str),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "id", "amount", "values", "from"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2026-05-27T06:54:41Z", AT),
        ("2026-05-27 06:54:41", AT),
        ("2026-05-27T08:54:41+02:00", AT),
        ("2026-05-27T06:54:41.426Z", AT + timedelta(milliseconds=426)),
        ("2026-05-27T06:54:41.426123789Z", AT + timedelta(microseconds=426_123)),
        (1_779_864_881, AT),
        ("1779864881", AT),
        (1_779_864_881_000, AT),
        (1_779_864_881_000_000, AT),
        ("", None),
        (None, None),
        ("0000-00-00 00:00:00", None),
        ("0000-00-00", None),
        ("2026-02-30 00:00:00", None),
        ("9999-12-31 23:59:59", None),
        ("yesterday", None),
        (True, None),
        ({"value": 1}, None),
        (-5, None),
        (2**70, None),
    ],
)
def test_a_time_is_read_in_every_spelling(raw: Any, expected: datetime | None) -> None:
    assert values.moment(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2026-05-27", date(2026, 5, 27)),
        ("2026-05-27 23:30:00", date(2026, 5, 27)),
        ("0000-00-00", None),
        ("9999-12-31", None),
        ("", None),
        (None, None),
        (20260527, None),
    ],
)
def test_a_day_is_read_or_null(raw: Any, expected: date | None) -> None:
    assert values.day(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (7, 7),
        ("7", 7),
        (" 7 ", 7),
        (7.0, 7),
        ({"value": 7, "name": "Org"}, 7),
        ({"id": 7, "name": "Owner"}, 7),
        ({"id": 3, "value": 7}, 7),
        (BIGINT_MAX, BIGINT_MAX),
        (BIGINT_MAX + 1, None),
        ("9" * 19, None),
        (-1, None),
        (7.5, None),
        (True, None),
        ("seven", None),
        ("\u0667", None),
        ("", None),
        (None, None),
        ({}, None),
        ([7], None),
    ],
)
def test_a_reference_is_a_number_however_it_is_wrapped(raw: Any, expected: int | None) -> None:
    assert values.reference(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (100, 100.0),
        (0.5, 0.5),
        ("1999.90", 1999.9),
        ({"amount": 500, "currency": "EUR"}, 500.0),
        ({"amount": {"amount": 1}}, None),
        ("nan", None),
        ("inf", None),
        (float("nan"), None),
        (10**400, None),
        (True, None),
        ("", None),
    ],
)
def test_a_number_is_finite_or_null(raw: Any, expected: float | None) -> None:
    assert values.number(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(True, True), (1, True), ("1", True), ("TRUE", True), (0, False), ("0", False), (2, None)],
)
def test_a_flag_is_read_from_numbers_and_words(raw: Any, expected: bool | None) -> None:
    assert values.flag(raw) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Ann", "Ann"),
        ("A\0nn", "Ann"),
        ("\0", None),
        ("", None),
        (" \t", None),
        (250, "250"),
        (250.0, "250"),
        ({"value": "Tallinn"}, "Tallinn"),
        (["Ann"], None),
    ],
)
def test_text_holds_no_nul_and_is_not_blank(raw: Any, expected: str | None) -> None:
    assert values.text(raw) == expected


def test_a_contact_point_without_a_value_is_none() -> None:
    raw = [
        {"value": "", "primary": True},
        {"label": "", "value": " a@firm.example ", "primary": 1},
        {"value": None},
        "b@firm.example",
        7,
    ]

    assert values.contact_points(raw) == [
        {"value": "a@firm.example", "label": None, "primary": True},
        {"value": "b@firm.example", "label": None, "primary": False},
        {"value": "7", "label": None, "primary": False},
    ]
    assert values.contact_points([{"value": "", "primary": True}]) == []
    assert values.contact_points(None) is None


def test_label_ids_come_as_lists_as_text_and_alone() -> None:
    assert values.references([24, "25", None, "x"]) == [24, 25]
    assert values.references("24,25") == [24, 25]
    assert values.references(24) == [24]
    assert values.references(None) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"type": "varchar", "value": "x"}, "x"),
        ({"type": "monetary", "value": 13, "currency": "BRL"}, 13),
        ({"type": "enum", "id": 16}, 16),
        ({"type": "set", "values": [{"id": 1}, {"id": 2}]}, [1, 2]),
        ({"type": "daterange", "from": "2026-01-01", "until": "2026-02-01"}, "2026-01-01"),
        ({"type": "address", "value": "Tallinn", "country": "Estonia"}, "Tallinn"),
        ("16", "16"),
        ([1, "2", None], [1, "2"]),
        (2**65, None),
        (float("inf"), None),
        (True, True),
        ({}, None),
        (None, None),
    ],
)
def test_a_custom_field_is_its_plain_value(raw: Any, expected: Any) -> None:
    assert values.plain(raw) == expected


@given(JSON)
def test_no_value_makes_a_converter_fail(raw: Any) -> None:
    for convert in (
        values.text,
        values.reference,
        values.number,
        values.flag,
        values.moment,
        values.day,
        values.references,
        values.texts,
        values.contact_points,
        values.plain,
    ):
        convert(raw)
