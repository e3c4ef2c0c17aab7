from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import bitmaps
from services.query.searching.bitmaps import DENSE_BYTES
from services.query.searching.bits import CHUNK

places = st.sets(st.integers(0, CHUNK - 1), max_size=400)


@given(places, places, places)
def test_a_chunk_is_the_set_that_its_changes_make(
    first: set[int], added: set[int], removed: set[int]
) -> None:
    stored = bitmaps.changed(b"", first, ())

    changed = bitmaps.changed(stored, added, removed)

    assert set(bitmaps.places(changed)) == (first - removed) | added
    assert bitmaps.count(changed) == len((first - removed) | added)


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
