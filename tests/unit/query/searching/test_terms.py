from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import terms
from services.query.searching.bitmaps import LOOSE, MOST_LOOSE
from services.query.searching.bits import CHUNK
from services.query.searching.postings import Moves
from services.query.searching.terms import Document, Kind

FIRM = UUID(int=7)


def test_a_contact_is_indexed_under_its_words_and_their_beginnings() -> None:
    found = terms.of_contact(Document("Bo Li", "bo@acme.example", "+49 123", None), None)

    assert {word for word, kind in found if kind == Kind.NAME} == {"bo", "li"}
    assert {word for word, kind in found if kind == Kind.NAME_PREFIX} == {"b", "bo", "l", "li"}
    assert {word for word, kind in found if kind == Kind.EMAIL} == {"acme", "example"}
    assert {word for word, kind in found if kind == Kind.PHONE} == {"491", "912", "123"}


def test_a_number_is_indexed_as_it_is_written_and_as_it_is_dialled_from_abroad() -> None:
    found = terms.of_contact(Document(None, None, "+49 (0)3", None), None)

    assert {word for word, kind in found if kind == Kind.PHONE} == {"490", "903", "493"}


def test_a_contact_has_its_organizations_words_and_none_without() -> None:
    document = Document("Bo", None, None, FIRM)

    assert terms.of_organization("Acme AG") < terms.of_contact(document, "Acme AG")
    assert terms.member(FIRM) in terms.of_contact(document, None)


@given(st.sets(st.integers(0, 30_000), min_size=1), st.sets(st.sampled_from("abcde")))
def test_moves_say_the_chunks_that_they_change(slots: set[int], words: set[str]) -> None:
    moves = Moves()
    for slot in slots:
        moves.move(slot, set(), {(word, 0) for word in words})

    changed = dict(moves.changed({}))

    in_chunks = {slot // CHUNK for slot in slots}
    rows = in_chunks if len(slots) > MOST_LOOSE else {LOOSE}
    assert set(changed) == {(word, 0, chunk) for word in words for chunk in rows}
    assert moves.chunks() == {(word, 0, chunk) for word in words for chunk in in_chunks | {LOOSE}}
    assert moves.counts([0]) == dict.fromkeys(words, len(slots))


def test_what_came_and_went_is_not_counted() -> None:
    moves = Moves()
    moves.move(1, {("a", 0)}, {("b", 0)})
    moves.move(2, {("b", 0)}, {("a", 0), ("b", 3)})

    assert moves.counts([0]) == {"a": 0, "b": 0}
