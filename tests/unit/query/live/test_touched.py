from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.query.batch import Shown, User
from services.query.contact import Key
from services.query.live import touched
from services.query.live.touched import MOST_NAMES, Names, Seen

ME, OTHER = User(1, 7), User(1, 8)
NAMES = st.builds(
    Names,
    st.sets(st.integers(0, 10**12), max_size=20),
    st.sets(st.uuids(), max_size=20),
    st.sets(st.uuids(), max_size=20),
)


@given(NAMES)
def test_an_entry_says_the_names(names):
    assert touched.parse(names.dump()) == (names if names != Names() else Names(everything=True))


def test_too_many_names_say_no_more_than_that_all_may_differ():
    names = Names(set(range(MOST_NAMES + 1)))

    assert touched.parse(names.dump()) == Names(everything=True)


def test_a_status_is_an_entry():
    assert touched.parse(touched.STATUS) == Names(status=True)


def test_each_user_is_told_of_their_own_contacts_and_organizations():
    here, there = UUID(int=1), UUID(int=2)

    names = touched.by_user(
        [Shown(ME, Key(1, 10)), Shown(OTHER, Key(1, 11)), Shown(ME, Key(1, 12))],
        [Seen(ME, here, appears=False), Seen(ME, there, appears=True)],
    )

    assert names == {ME: Names({10, 12}, {here}, {there}), OTHER: Names({11})}


@given(NAMES, NAMES)
def test_entries_add_up(one, other):
    both = Names()
    both.add(one)
    both.add(other)

    assert both.persons == one.persons | other.persons
    assert both.appeared == one.appeared | other.appeared
