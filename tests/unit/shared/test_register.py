"""Rows end the same whatever the order of arrival."""

import random

from hypothesis import given
from hypothesis import strategies as st

from shared import register
from shared.register import NEVER, Register, Stamp, Write

NAMES = ("name", "job_title", "owner")

stamps = st.builds(Stamp, st.integers(1, 6), st.integers(0, 2), st.sampled_from(["a", "b"]))


@st.composite
def histories(draw: st.DrawFn) -> list[Write]:
    """Writes with distinct stamps: one stamp is one event, and an event has one content."""
    chosen = draw(st.lists(stamps, unique=True, max_size=8))
    return [
        Write(
            stamp,
            stamp.rank == 2,
            {}
            if stamp.rank == 2
            else draw(st.dictionaries(st.sampled_from(NAMES), st.integers())),
        )
        for stamp in chosen
    ]


def _after(writes: list[Write]) -> Register:
    row = register.empty(NAMES)
    for write in writes:
        row = register.apply(row, write)
    return row


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_with_any_duplicates_ends_in_the_same_row(
    writes: list[Write], rng: random.Random
) -> None:
    delivered = writes + rng.choices(writes, k=len(writes)) if writes else []
    rng.shuffle(delivered)

    assert _after(delivered) == _after(sorted(writes, key=lambda w: w.stamp))


@given(histories())
def test_each_field_has_the_value_of_the_newest_write_that_carried_it(
    writes: list[Write],
) -> None:
    row = _after(writes)

    for name in NAMES:
        carriers = [w for w in writes if name in w.carried]
        newest = max(carriers, key=lambda w: w.stamp, default=None)
        assert row.fields[name] == (newest.carried[name] if newest else None)
        held = row.lag.get(name, row.stamp)
        assert held == (newest.stamp if newest else NEVER)


@given(histories())
def test_the_newest_write_says_whether_the_row_lives(writes: list[Write]) -> None:
    newest = max(writes, key=lambda w: w.stamp, default=None)

    assert _after(writes).deleted == (newest.deleted if newest else True)


@given(histories())
def test_the_stored_form_of_the_lag_round_trips(writes: list[Write]) -> None:
    row = _after(writes)

    assert register.decode_lag(register.encode_lag(row.lag)) == row.lag


def test_an_older_body_still_brings_what_newer_ones_lacked() -> None:
    newer = Write(Stamp(20, 1, "v2"), False, {"name": "Ann"})
    older = Write(Stamp(10, 1, "v1"), False, {"name": "An", "job_title": "CEO"})

    row = _after([newer, older])

    assert row.fields == {"name": "Ann", "job_title": "CEO", "owner": None}


def test_a_delete_wins_over_a_change_of_the_same_instant() -> None:
    delete = Write(Stamp(10, 2, "a"), True, {})
    change = Write(Stamp(10, 1, "z"), False, {"name": "Ann"})

    assert _after([delete, change]).deleted
    assert _after([change, delete]).deleted
