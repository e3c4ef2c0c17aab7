"""What the hearing of the log passes over unread."""

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.sync import written
from services.ingest.sync.written import Written
from shared.kafka.rounds import Record

VALUES = st.lists(st.binary(max_size=4), unique=True)


def records(values: Iterable[bytes]) -> list[Record]:
    return [Record("pipedrive.persons", b"7001:8", value) for value in values]


@given(VALUES, VALUES)
def test_what_was_written_down_is_passed_over_and_nothing_else(
    noted: Sequence[bytes], others: Sequence[bytes]
) -> None:
    held = Written()
    held.note(records(noted))

    assert all(held.has(value) for value in noted)
    assert not any(held.has(value) for value in others)


def test_what_is_met_a_second_time_is_heard() -> None:
    held = Written()
    held.note(records([b"a row"]))

    assert [held.has(b"a row") for _ in range(2)] == [True, False]


def test_of_more_than_it_holds_the_first_are_forgotten() -> None:
    held = Written()
    many = [str(number).encode() for number in range(written.MOST + 1)]
    held.note(records(many))

    held.note(records([b"a row"]))

    assert held.has(b"a row")
    assert not any(held.has(value) for value in many)
