"""What changes leave of the rows of a term, whatever form these have."""

from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import bitmaps
from services.query.searching.bitmaps import LOOSE, MOST_LOOSE
from services.query.searching.bits import CHUNK
from services.query.searching.postings import Chunk, Moves
from services.query.searching.terms import Kind, Term

TERM: Term = "anna", int(Kind.NAME)
slots = st.integers(0, 4 * CHUNK)
steps = st.lists(
    st.tuples(st.booleans(), st.one_of(st.sets(slots, max_size=60), st.sets(slots, min_size=150))),
    max_size=8,
)


def after(rows: dict[Chunk, bytes], moves: Moves) -> dict[Chunk, bytes]:
    """As the store has it that drops what is empty, and reads what may change."""
    read = {chunk: rows[chunk] for chunk in moves.chunks() if chunk in rows}
    whole = rows | dict(moves.changed(read))
    return {chunk: stored for chunk, stored in whole.items() if stored}


@given(steps)
def test_a_term_is_in_the_slots_it_came_to_and_did_not_leave(
    taken: list[tuple[bool, set[int]]],
) -> None:
    rows: dict[Chunk, bytes] = {}
    held: set[int] = set()
    for is_added, moved in taken:
        moves = Moves()
        for slot in moved - held if is_added else moved & held:
            moves.move(slot, set() if is_added else {TERM}, {TERM} if is_added else set())
        rows = after(rows, moves)
        held = held | moved if is_added else held - moved

        found = [
            slot for (_, _, chunk), each in rows.items() for slot in bitmaps.slots(chunk, each)
        ]
        assert sorted(found) == sorted(held)
        chunks = {chunk for _, _, chunk in rows} - {LOOSE}
        loose = bitmaps.slots(LOOSE, rows.get((*TERM, LOOSE), b""))
        assert len(loose) <= MOST_LOOSE
        assert not chunks & {slot // CHUNK for slot in loose}


def test_what_all_slots_of_a_term_have_follows_in_either_form() -> None:
    few, many = range(7, 5 * CHUNK, 9_000), range(0, 3 * CHUNK, 2)
    for members in (few, many):
        moves = Moves()
        for slot in members:
            moves.move(slot, set(), {TERM})
        rows = after({}, moves)
        renamed = Moves()
        renamed.move_all(
            [(chunk, each) for (_, _, chunk), each in rows.items()], {TERM}, {("bert", 0)}
        )

        assert sorted(renamed.added["bert", 0]) == list(members)
        assert after(rows, renamed).keys() == {("bert", 0, chunk) for _, _, chunk in rows}
