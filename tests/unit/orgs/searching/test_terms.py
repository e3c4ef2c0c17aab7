from hypothesis import assume, given
from hypothesis import strategies as st

from services.orgs.searching import terms

COMPANY = 7
LETTERS = st.sampled_from("abcdeilnorst")
WORDS = st.text(LETTERS, min_size=4, max_size=14)
NAMES = st.text(max_size=60)


def shares_a_token(typed: str, word: str) -> bool:
    return bool({*terms.beginnings(COMPANY, typed)} & {*terms.of_word(COMPANY, word)})


@given(NAMES)
def test_folding_a_folded_name_changes_nothing(name):
    once = terms.of_name(name)

    assert terms.of_name(" ".join(once)) == once


def test_letters_of_every_alphabet_become_plain_ones():
    assert terms.of_name("Łódź-Müller & Söhne") == ("lodz", "muller", "and", "sohne")
    assert terms.of_name("Ромашка") == ("romashka",)
    assert terms.of_name("… !") == ()
    assert terms.of_name(None) == ()


@given(NAMES)
def test_what_is_stored_of_a_name_is_bounded(name):
    cut = terms.of_name(name * 50)

    assert len(cut) <= terms.MOST_WORDS
    assert all(len(word) <= terms.LONGEST_WORD for word in cut)
    assert len(terms.folded(cut)) <= terms.LONGEST_FOLDED


@given(st.text(), st.text())
def test_the_range_of_a_beginning_holds_exactly_what_begins_so(beginning, text):
    assume("\U0010ffff" not in beginning + text)
    low, high, there = beginning.encode(), terms.after(beginning).encode(), text.encode()

    assert (low <= there < high) == text.startswith(beginning)


@given(WORDS, st.data())
def test_a_word_is_found_by_any_three_letters_inside_it(word, data):
    at = data.draw(st.integers(0, len(word) - 3))
    inside = word[at : data.draw(st.integers(at + 3, len(word)))]

    assert {*terms.inside(COMPANY, inside)} <= {*terms.of_word(COMPANY, word)}


@given(WORDS, st.data())
def test_one_mistake_is_forgiven_and_its_word_is_found(word, data):
    at = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(LETTERS)
    typed = data.draw(
        st.sampled_from(
            (
                word[:at] + word[at + 1 :],
                word[:at] + letter + word[at:],
                word[:at] + letter + word[at + 1 :],
                word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
            )
        )
    )
    assume(len(typed) >= terms.SHORTEST_MISSPELT)

    assert terms.mistakes(typed, word) in (0, 1)
    assert shares_a_token(typed, word)


@given(WORDS, WORDS)
def test_what_is_forgiven_is_what_the_lengths_allow(typed, word):
    found = terms.mistakes(typed, word)

    allowed = 2 if len(typed) >= terms.TWO_MISTAKES_FROM else 1
    assert found is None or found <= allowed


def test_letters_not_yet_typed_are_no_mistakes():
    assert terms.mistakes("micorso", "microsoft") == 1
    assert shares_a_token("micorso", "microsoft")
    assert terms.mistakes("amce", "acmeshop") == 1
    assert shares_a_token("amce", "acmeshop")


def test_short_words_must_be_right():
    assert terms.mistakes("ame", "acme") is None
    assert terms.beginnings(COMPANY, "ame") == []


def test_a_token_of_one_company_is_none_of_anothers():
    assert not {*terms.of_word(1, "acme")} & {*terms.of_word(11, "acme")}


def test_popularity_grows_with_the_logarithm_of_the_contacts():
    assert [terms.popularity(n) for n in (-1, 0, 1, 2, 3, 4, 1_000_000)] == [0, 0, 1, 2, 2, 3, 20]


def test_another_number_is_no_mistake():
    assert terms.mistakes("branch1234", "branch1235") is None
    assert terms.beginnings(COMPANY, "1234") == []
