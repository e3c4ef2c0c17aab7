from hypothesis import given
from hypothesis import strategies as st

from services.orgs.searching.highlight import parts
from services.orgs.searching.terms import of_query


def marked(name: str, query: str) -> str:
    return "".join(f"[{p.text}]" if p.is_match else p.text for p in parts(name, of_query(query)))


@given(st.text(max_size=40), st.text(max_size=20))
def test_the_parts_put_together_are_the_name(name, query):
    assert "".join(part.text for part in parts(name, of_query(query))) == name


def test_what_was_typed_is_marked_where_it_stands():
    assert marked("Acme Corp.", "ac co") == "[Ac]me [Co]rp."
    assert marked("Ångström-Werke", "angs") == "[Ångs]tröm-Werke"
    assert marked("Facebook Ltd", "book") == "Face[book] Ltd"


def test_words_that_were_typed_as_one_are_marked():
    assert marked("Coca-Cola Company", "cocacola") == "[Coca]-[Cola] Company"
    assert marked("The Coca-Cola Company", "cocacolaco") == "The [Coca]-[Cola] [Company]"
    assert marked("Coca Zero", "cocacola") == "Coca Zero"


def test_a_misspelt_word_is_marked_as_a_whole():
    assert marked("Microsoft Corp", "micorsof") == "[Microsoft] Corp"


def test_a_letter_that_folds_to_several_marks_its_word():
    assert marked("Weiß GmbH", "weis") == "[Weiß] GmbH"


def test_two_letters_inside_a_word_are_no_match():
    assert marked("Acme", "me") == "Acme"
