"""A cursor says one key, and only as it was handed out."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query import cursor
from services.query.cursor import BadCursor, Key, OrganizationKey

bigints = st.integers(-(2**63), 2**63 - 1)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
organization_keys = st.builds(OrganizationKey, bigints, names, st.uuids())
keys = st.builds(Key, st.booleans(), st.integers(-5, 20), bigints, bigints, st.uuids())


@given(keys)
def test_a_cursor_round_trips(key: Key) -> None:
    assert cursor.decode(cursor.encode(key)) == key


@given(organization_keys)
def test_a_cursor_of_organizations_round_trips(key: OrganizationKey) -> None:
    assert cursor.decode_organization(cursor.encode_organization(key)) == key


@given(keys, organization_keys)
def test_a_cursor_of_another_list_is_refused(key: Key, organization: OrganizationKey) -> None:
    with pytest.raises(BadCursor):
        cursor.decode_organization(cursor.encode(key))
    with pytest.raises(BadCursor):
        cursor.decode(cursor.encode_organization(organization))


def test_a_name_that_no_database_holds_is_refused() -> None:
    text = cursor.encode_organization(OrganizationKey(-1, "a\0b", UUID(int=1)))

    with pytest.raises(BadCursor):
        cursor.decode_organization(text)


@given(keys, st.data())
def test_a_cursor_with_any_letter_changed_is_refused(key: Key, data: st.DataObject) -> None:
    text = cursor.encode(key)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from([c for c in "Aaz09-_+é\n" if c != text[at]]))

    with pytest.raises(BadCursor):
        cursor.decode(text[:at] + letter + text[at + 1 :])


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        cursor.decode(text)
    with pytest.raises(BadCursor):
        cursor.decode_organization(text)


def test_keys_compare_as_the_list_is_ordered() -> None:
    low, high = UUID(int=1), UUID(int=2)
    ordered = [
        Key(False, 9, 5, 5, high),
        Key(True, 0, 5, -9, high),
        Key(True, 0, 5, -8, low),
        Key(True, 0, 5, -8, high),
        Key(True, 0, cursor.NEVER, -9, low),
        Key(True, 1, 0, -99, low),
    ]

    assert sorted(ordered, reverse=True)[::-1] == ordered
