from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import bitmaps
from services.query.searching.bitmaps import DENSE_BYTES, LOOSE, MOST_LOOSE
from services.query.searching.bits import CHUNK

places = st.sets(st.integers(0, CHUNK - 1), max_size=400)


@given(places, places, places)
def test_a_chunk_is_the_set_that_its_changes_make(
    first: set[int], added: set[int], removed: set[int]
) -> None:
    stored = bitmaps.changed(b"", first, ())

    changed = bitmaps.changed(stored, added, removed)

    assert set(bitmaps.places(changed)) == (first - removed) | added


@given(st.sets(st.integers(0, CHUNK - 1)))
def test_a_chunk_made_at_once_is_the_one_made_by_changes(places: set[int]) -> None:
    assert bitmaps.packed(sorted(places)) == bitmaps.changed(b"", places, ())


def test_an_empty_chunk_is_no_bytes() -> None:
    dense = bitmaps.changed(b"", range(1000), ())

    assert len(dense) == bitmaps.DENSE_BYTES
    assert bitmaps.changed(dense, (), range(1000)) == b""


@given(st.lists(places, max_size=4), st.integers(4 * CHUNK, 5 * CHUNK))
def test_chunks_join_to_all_their_slots(chunks: list[set[int]], size: int) -> None:
    stored = [(n, bitmaps.changed(b"", each, ())) for n, each in enumerate(chunks)]
    slots = sorted(n * CHUNK + place for n, each in enumerate(chunks) for place in each)

    found = bitmaps.joined([(n, len(each) == DENSE_BYTES, each) for n, each in stored], size)

    assert found.numbers() == slots


@given(st.lists(places, max_size=5))
def test_chunks_of_many_terms_that_follow_one_another_join_to_all_their_slots(
    sets: list[set[int]],
) -> None:
    stored = [bitmaps.changed(b"", each, ()) for each in sets]
    dense = b"".join(each for each in stored if len(each) == DENSE_BYTES)
    sparse = b"".join(each for each in stored if len(each) != DENSE_BYTES)

    found = bitmaps.joined([(1, False, sparse), (1, True, dense)], 2 * CHUNK)

    assert found.numbers() == sorted(CHUNK + place for place in set().union(*sets))


some_slots = st.sets(st.integers(0, 5 * CHUNK), max_size=300)


@given(some_slots, some_slots, some_slots)
def test_loose_slots_are_the_set_that_its_changes_make_and_go_to_their_chunks_when_too_many(
    first: set[int], added: set[int], removed: set[int]
) -> None:
    stored = bitmaps.loose(sorted(first))

    loose, chunks = bitmaps.loosened(stored, added, removed)

    expected = (first - removed) | added
    found = [slot for row in [(LOOSE, loose), *chunks.items()] for slot in bitmaps.slots(*row)]
    assert sorted(found) == sorted(expected)
    assert (loose == b"") == (not expected or len(expected) > MOST_LOOSE)
    assert bool(chunks) == (len(expected) > MOST_LOOSE)


@given(st.lists(some_slots, max_size=4), some_slots)
def test_loose_slots_of_many_terms_join_with_what_is_in_chunks(
    loose: list[set[int]], in_chunks: set[int]
) -> None:
    rows = b"".join(bitmaps.loose(sorted(each)) for each in loose)
    pieces = [
        (chunk, False, bitmaps.changed(b"", places, ()))
        for chunk, places in bitmaps.split(in_chunks).items()
        if len(places) <= bitmaps.MOST_SPARSE
    ]

    found = bitmaps.joined([(LOOSE, False, rows), *pieces], 6 * CHUNK)

    assert set(found.numbers()) >= set().union(*loose)
    assert found.numbers() == sorted(
        set().union(*loose, *(bitmaps.slots(chunk, stored) for chunk, _, stored in pieces))
    )
