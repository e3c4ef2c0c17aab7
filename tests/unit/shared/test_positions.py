from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import positions
from shared.positions import Position, Scored, Token

POSITIONS = st.lists(
    st.builds(
        Position,
        st.sampled_from(["app.campaign", "pipedrive.persons", "orgs.contact-links"]),
        st.integers(0, 47),
        st.integers(0, 10**15),
    ),
    max_size=300,
)


CONTACTS = st.lists(st.uuids(), max_size=positions.MOST_LINKED)


SCORED = st.lists(
    st.builds(Scored, st.uuids(), st.integers(0, 10**16)), max_size=positions.MOST_LINKED
)


@given(POSITIONS, CONTACTS, SCORED)
def test_a_token_says_the_furthest_position_of_each_partition(given_positions, contacts, scored):
    token = positions.encode(given_positions, contacts, scored)

    read = positions.decode(token)
    assert read.positions == tuple(positions.furthest_of(given_positions))
    assert read.linked == (tuple(contacts) if given_positions else ())
    assert read.scored == (tuple(scored) if given_positions else ())
    assert positions.encode(*read) == token


def test_no_positions_are_an_empty_token():
    assert positions.encode([]) == ""
    assert positions.decode("") == Token(())


def test_a_token_is_short_and_needs_no_escaping():
    token = positions.encode([Position("app.campaign", 3, 1234), Position("app.campaign", 3, 9)])

    assert len(token) < 40
    assert token.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=200))
def test_what_is_no_token_is_refused(text):
    if not text:
        return
    with pytest.raises(ValueError, match="not a token"):
        positions.decode(text)


@given(POSITIONS.filter(bool), st.data())
def test_a_token_with_one_letter_changed_is_refused(given_positions, data):
    token = positions.encode(given_positions)
    at = data.draw(st.integers(0, len(token) - 1))
    other = "A" if token[at] != "A" else "B"

    changed = token[:at] + other + token[at + 1 :]

    try:
        read = positions.decode(changed)
    except ValueError:
        return
    # The last letter of base64 has bits that say nothing.
    assert at == len(token) - 1
    assert read == positions.decode(token)


def test_too_many_partitions_are_refused():
    many = [Position("pipedrive.persons", number, 1) for number in range(positions.MOST + 1)]

    with pytest.raises(ValueError, match="too many"):
        positions.encode(many)
    with pytest.raises(ValueError, match="at most"):
        positions.decode("A" * (positions.MOST_CHARS + 1))


def test_too_many_contacts_are_refused():
    many = [UUID(int=number) for number in range(positions.MOST_LINKED + 1)]

    with pytest.raises(ValueError, match="11 contacts are too many"):
        positions.encode([Position("pipedrive.persons", 0, 1)], many)
    with pytest.raises(ValueError, match="11 contacts are too many"):
        positions.encode([Position("pipedrive.persons", 0, 1)], (), list(map(Scored, many)))
