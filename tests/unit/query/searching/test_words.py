import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import words


def test_case_accents_and_alphabets_are_gone() -> None:
    assert words.words("Jürgen  O’Brien-ÅSA, Groß") == ["jurgen", "obrien", "asa", "gross"]  # noqa: RUF001 - an apostrophe as people type it
    assert words.words("Иван 花子") == ["ivan", "huazi"]
    assert words.words(None) == words.words("") == words.words("!?") == []


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    once = words.folded(text)

    assert words.folded(once) == once


@given(st.text())
def test_words_folded_again_are_themselves(text: str) -> None:
    found = words.words(text)

    assert words.words(" ".join(found)) == found


@given(st.text(max_size=200))
def test_spans_are_the_words_at_their_places(text: str) -> None:
    spans = words.spans(text)

    assert [span.word for span in spans] == words.words(text)
    for span in spans:
        assert len(span.places) == len(span.word)
        assert list(span.places) == sorted(span.places)
        for letter, place in zip(span.word, span.places, strict=True):
            assert letter in words.folded(text[place])


def test_what_a_sign_holds_together_in_a_name_is_one_word_too() -> None:
    assert words.of_name("Jean-Pierre AT&T") == ["jean", "pierre", "at", "t", "jeanpierre", "att"]
    assert words.of_name("A.B.C. Ltd, B - C") == ["a", "b", "c", "ltd", "b", "c", "abc"]
    assert words.of_name("Müller‐Lüdenscheidt")[-1] == "mullerludenscheidt"  # noqa: RUF001 - a hyphen as some programs write it
    assert words.of_name(None) == words.of_name("-") == []


@given(st.text(alphabet="aä-. &", max_size=200))
def test_spans_of_a_name_are_its_words_at_their_places(text: str) -> None:
    spans = words.spans_of_name(text)

    assert [span.word for span in spans] == words.of_name(text)
    for span in spans:
        assert [words.folded(text[place]) for place in span.places] == list(span.word)


def test_what_stands_for_leaving_a_country_or_town_is_no_part_of_a_number() -> None:
    assert words.number("+49 (0)30 12-34") == ("490301234", "49301234")
    assert words.number("0049 30 1234") == ("0049301234", "49301234")
    assert words.number("030/1234") == ("0301234", "301234")
    assert words.number("none") == words.number(None) == ("", "")


@pytest.mark.parametrize(
    ("stored", "fragment", "is_there"),
    [
        ("+49 30 1234", "30 1234", True),
        ("30 1234", "+49 30 1234", True),
        ("+49 30 1234", "030 12", True),
        ("030/1234", "030", True),
        ("+49 (0)30 1234", "49 (0", True),
        ("+1 555-010-0199", "010", True),
        ("1234", "+49 30 1234", False),
        ("+49 30 1234", "999", False),
        ("+49 30 1234", "040", False),
    ],
)
def test_a_number_is_found_with_and_without_its_country_and_zeros(
    stored: str, fragment: str, is_there: bool
) -> None:
    assert words.has_fragment(words.number(stored), words.number(fragment)) is is_there
