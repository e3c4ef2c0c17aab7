from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import asking
from services.query.searching.asking import Token


def test_words_in_any_order_are_tokens() -> None:
    assert set(asking.parse("Müller anna").tokens) == set(asking.parse("anna MULLER").tokens)
    assert asking.parse("anna anna").tokens == (Token("anna", ""),)


def test_digits_in_groups_are_one_number() -> None:
    assert asking.parse("+49 (0)30 12-34 56").tokens == (Token("", "4930123456"),)
    assert asking.parse("anna 030 123456").tokens == (Token("", "30123456"), Token("anna", ""))


def test_a_few_digits_are_a_word_that_may_be_a_part_of_a_number() -> None:
    assert asking.parse("studio 54 7").tokens == (
        Token("studio", ""),
        Token("54", ""),
        Token("7", ""),
    )
    assert asking.parse("4567").tokens == (Token("4567", "4567"),)


def test_there_may_be_nothing_to_look_for() -> None:
    assert asking.parse("!!! …").tokens == ()


@given(st.text())
def test_tokens_are_few_and_never_empty(text: str) -> None:
    tokens = asking.parse(text).tokens

    assert len(tokens) <= asking.MOST_TOKENS
    assert all(token.word or token.digits for token in tokens)
