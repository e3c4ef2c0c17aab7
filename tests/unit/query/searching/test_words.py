import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import words


def test_case_accents_and_alphabets_are_gone() -> None:
    assert words.words("Jürgen  O’Brien-ÅSA, Groß") == ["jurgen", "obrien", "asa", "gross"]  # noqa: RUF001 - an apostrophe as people type it
    assert words.words("Иван さくら") == ["ivan", "sakura"]
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
    assert words.of_name("Meier‐Ludenscheidt")[-1] == "meierludenscheidt"  # noqa: RUF001 - a hyphen as some programs write it
    assert words.of_name(None) == words.of_name("-") == []


def test_a_name_has_its_words_spelt_out_too() -> None:
    assert words.of_name("Jörg Öz-Å") == ["jorg", "oz", "a", "oza", "joerg", "oez", "aa", "oezaa"]
    assert words.of_name("Søren Böll") == ["soren", "boll", "soeren", "boell"]
    assert words.of_name("Bo\u0308ll") == words.of_name("Böll") == ["boll", "boell"]
    assert words.of_name("Łódź Groß") == ["lodz", "gross"]


def test_a_syllable_is_a_word_and_so_are_neighbours_and_all() -> None:
    assert words.of_name("김민수") == ["gim", "min", "su", "gimminsu", "gimmin", "minsu"]
    assert words.of_name("王") == ["wang"]
    assert words.of_name("山田 A") == ["shan", "tian", "a", "shantian", "shantian"]
    assert words.of_name("トヨタ") == ["toyota"]


def test_a_picture_is_no_word() -> None:
    assert words.words("😀 Anna❤️Berg 🇩🇪") == ["anna", "berg"]


def test_a_letter_is_the_same_in_one_character_or_in_several() -> None:
    assert words.words("Сергеи\u0306") == words.words("Сергей") == ["sergey"]
    assert words.words("か\u3099") == words.words("が") == ["ga"]
    assert words.words(unicodedata.normalize("NFD", "김")) == words.words("김") == ["gim"]


@given(st.text(alphabet="aäü-. &王民Å\u0308", max_size=200))
def test_spans_of_a_name_are_its_words_at_their_places(text: str) -> None:
    spans = words.spans_of_name(text)

    assert [span.word for span in spans] == words.of_name(text)
    for span in spans:
        assert list(span.places) == sorted(span.places)
        for letter, place in zip(span.word, span.places, strict=True):
            whole = text[place : words.end_of_letter(text, place)]
            assert letter in words.folded(whole) + words.spelt_out(whole)


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
        ("8 (495) 739-70-00", "+7 495 7397000", True),
        ("+7 495 739-70-00", "84957397000", True),
        ("+49 30 34567890", "+43 40 34567890", False),
        ("+49 30 1234", "999", False),
        ("+49 30 1234", "040", False),
    ],
)
def test_a_number_is_found_with_and_without_its_country_and_zeros(
    stored: str, fragment: str, is_there: bool
) -> None:
    assert words.has_fragment(words.number(stored), words.number(fragment)) is is_there
