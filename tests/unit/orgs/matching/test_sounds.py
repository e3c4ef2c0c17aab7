"""Words as they sound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orgs.matching import alignment, sounds

LETTERS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("credo", "kredo"),
        ("procredit", "prokredit"),
        ("exim", "eksim"),
        ("lutecia", "lutetsia"),
        ("phoenix", "foeniks"),
        ("wolga", "volga"),
        ("grammeen", "grameen"),
        ("technika", "teknika"),
    ],
)
def test_words_that_were_transliterated_differently_sound_alike(one: str, other: str) -> None:
    assert sounds.of(one) == sounds.of(other)
    assert alignment.likeness(one, other) >= 0.85


@pytest.mark.parametrize(("one", "other"), [("kit", "kyt"), ("ca1", "ka1"), ("credo", "modo")])
def test_short_words_and_codes_are_what_they_are(one: str, other: str) -> None:
    assert alignment.likeness(one, other) == 0.0


@given(LETTERS)
def test_no_word_is_lost(word: str) -> None:
    assert sounds.of(word)


@given(LETTERS, LETTERS)
def test_how_they_sound_does_not_depend_on_which_comes_first(one: str, other: str) -> None:
    assert alignment.likeness(one, other) == alignment.likeness(other, one)
