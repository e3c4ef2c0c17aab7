import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import asking, words
from services.query.searching.asking import Asked, Need, Token
from services.query.searching.words import Number


def word(text: str) -> Token:
    return Token(text, words.number(text) if len(text) > 2 and text.isdigit() else None)


def also(text: str) -> tuple[Token]:
    """What will do, too, though it was not typed so."""
    return (Token(text, None, is_typed=False),)


def number(written: str, plain: str | None = None) -> Token:
    return Token("", Number(written, written if plain is None else plain))


def domain(text: str) -> tuple[Token]:
    return (Token("", None, is_typed=False, domain=text),)


def one(token: Token) -> Need:
    return ((token,),)


def test_words_in_any_order_are_needs() -> None:
    assert asking.parse("anna MULLER").needs == (
        ((word("anna"),), also("annamuller")),
        ((word("muller"),), also("annamuller")),
    )
    assert {need[0] for need in asking.parse("muller anna").needs} == {
        (word("anna"),),
        (word("muller"),),
    }


def test_a_word_is_asked_for_once() -> None:
    assert asking.parse("Anna anna ANNA").needs == (((word("anna"),), also("annaanna")),)


def test_words_may_have_been_meant_as_one() -> None:
    assert asking.parse("mc donald").needs == (
        ((word("mc"),), also("mcdonald")),
        ((word("donald"),), also("mcdonald")),
    )
    assert asking.parse("jan van berg").needs[1] == (
        (word("van"),),
        also("janvan"),
        also("vanberg"),
    )


def test_a_word_may_have_been_meant_spelt_out() -> None:
    assert asking.parse("Müller").needs == (((word("muller"),), also("mueller")),)
    assert asking.parse("Mueller").needs == (one(word("mueller")),)


def test_syllables_in_a_row_are_asked_for_by_two_or_one_by_one() -> None:
    assert asking.parse("민수").needs == (
        ((word("minsu"),), also("min")),
        ((word("minsu"),), also("su")),
    )
    assert asking.parse("王").needs == (one(word("wang")),)


def test_of_very_many_syllables_only_neighbours_are_asked_for() -> None:
    asked = asking.parse("".join(chr(0xAC00 + 29 * n) for n in range(100)))

    assert all(token.is_typed for token in asked.tokens)


@pytest.mark.parametrize("link", ["and", "und", "ET", "och", "&", "+"])
def test_and_between_two_words_may_be_written_otherwise(link: str) -> None:
    assert asking.parse(f"berg {link} kurz ag") == asking.parse("berg kurz ag")


@pytest.mark.parametrize("text", ["lund and", "and lund", "and", "lund.and.kurz@x.example"])
def test_and_anywhere_else_is_a_word(text: str) -> None:
    assert Token("and", None) in asking.parse(text).tokens


@pytest.mark.parametrize("mark", ["©", "®", "™", "℠"])
def test_a_mark_behind_a_name_is_no_letter_of_it(mark: str) -> None:
    assert asking.parse(f"Acme{mark} {mark}") == asking.parse("acme")


def test_a_mark_inside_a_name_is_a_letter_as_in_the_index() -> None:
    assert Token("posttmit", None) in asking.parse("Post™it").tokens


def test_the_domain_of_an_address_may_begin_with_www() -> None:
    assert Token("www", None) in asking.parse("info@www.acme.example").tokens
    assert asking.parse("www.acme.example") == asking.parse("acme.example")


@pytest.mark.parametrize(
    "label",
    [
        "Tel.: ",
        "tel ",
        "Phone:",
        "TELEFON ",
        "Tél. ",
        "Mobile: ",
        "mob. ",
        "Fax ",
        "cell ",
        "Téléphone : ",
        "\u0442\u0435\u043b. ",
    ],
)
@pytest.mark.parametrize("typed", ["+49 30 123", "030 123456", "(030) 123-456 ext 5"])
def test_what_a_number_is_called_is_no_word(label: str, typed: str) -> None:
    assert asking.parse(f"{label}{typed}") == asking.parse(typed)
    assert asking.parse(f"anna, {label}{typed}") == asking.parse(f"anna, {typed}")


@pytest.mark.parametrize("text", ["tel aviv 030 123456", "mobile 24 ag", "tel", "hotel 123456"])
def test_what_only_looks_like_a_label_is_looked_for(text: str) -> None:
    assert Token(text.partition(" ")[0], None) in asking.parse(text).tokens


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "li[at]x.example",
            "li (at) x.example",
            "li[AT]x[dot]example",
            "li(at)x (punkt) example",
        ),
        *("E-Mail: li@x.example", "email:li@x.example", "<mailto:li@x.example>"),
    ],
)
def test_an_address_is_read_as_it_is_written_for_people(typed: str) -> None:
    assert asking.parse(typed) == asking.parse("li@x.example")


def test_at_in_brackets_before_anything_else_is_a_word() -> None:
    assert Token("at", None) in asking.parse("Kurz (AT) Wien").tokens


def test_what_was_copied_from_a_link_is_no_word() -> None:
    assert asking.parse("tel:030 123456").needs == asking.parse("030 123456").needs
    assert asking.parse("mailto:li@x.example") == asking.parse("li@x.example")
    assert asking.parse("li@x.example").is_address
    assert not asking.parse("li x.example").is_address


@pytest.mark.parametrize(
    "typed",
    [
        *("@owen.com", "owen.com", "<@Owen.COM>", "mailto:@owen.com,"),
        *("https://owen.com", "http://www.owen.com/", "www.owen.com", "(https://owen.com)"),
        *("owen.com.", '"owen.com"?', "(//owen.com/)", "owen@owen.com", "owen @owen.com"),
    ],
)
def test_what_looks_like_the_domain_of_an_address_may_be_it(typed: str) -> None:
    assert [domain("owen.com") in need for need in asking.parse(typed).needs] == [True, True]


def test_only_the_words_of_a_domain_are_met_by_it() -> None:
    needs = asking.parse("anna owen@mail-x.example kurz").needs

    assert [domain("mail.x.example") in need for need in needs] == [False, False] + [True] * 3 + [
        False
    ]


@pytest.mark.parametrize(
    "typed", ["owen", "@owen", "a.b.c", "owen. com", "1.2.3", "owen.", "@.com", "owen.com.2"]
)
def test_other_words_with_dots_are_no_domain(typed: str) -> None:
    assert not any(token.domain for token in asking.parse(typed).tokens)


def test_digits_in_groups_are_one_number() -> None:
    whole = number("49030123456", "4930123456")

    assert asking.parse("+49 (0)30 12-34 56").needs == (one(whole),)
    assert asking.parse("anna 030 123456").needs == (
        one(number("030123456", "30123456")),
        one(word("anna")),
    )


@pytest.mark.parametrize("extension", ["ext 5", "Ext. 12", ", extension: 5", "x5", "DW 17"])
@pytest.mark.parametrize("typed", ["+49 30 123", "anna 030 123456", "030123456"])
def test_an_extension_behind_a_number_is_passed_over(typed: str, extension: str) -> None:
    assert asking.parse(f"{typed} {extension}") == asking.parse(typed)


@pytest.mark.parametrize(
    ("typed", "left"),
    [("studio 54 x 7", "x"), ("ext 5", "ext"), ("123456 x5y", "x5y"), ("123456 ext", "ext")],
)
def test_what_only_looks_like_an_extension_is_looked_for(typed: str, left: str) -> None:
    assert Token(left, None) in asking.parse(typed).tokens


def test_a_few_digits_in_groups_are_a_part_of_a_number_or_words() -> None:
    assert asking.parse("studio 54 7").needs == (
        ((number("547"),), (word("54"), word("7"))),
        one(word("studio")),
    )
    assert asking.parse("555-01").needs == (((number("55501"),), (word("555"), word("01"))),)


def test_digits_are_a_word_that_may_be_a_part_of_a_number_from_the_third_on() -> None:
    assert asking.parse("4567").needs == (one(Token("4567", Number("4567", "4567"))),)
    assert asking.parse("030").needs == (one(Token("030", Number("030", ""))),)
    assert asking.parse("45 team7").tokens[::2] == (Token("45", None), Token("team7", None))
    assert asking.parse("4 5").tokens[::2] == (Token("4", None), Token("5", None))


def test_there_may_be_nothing_to_look_for() -> None:
    assert asking.parse("!!! …") == Asked(())


def test_all_words_count() -> None:
    letters = [f"{first}{second}" for first in "abcdefgh" for second in "abcdefgh"]

    assert asking.parse(" ".join(letters)).tokens == tuple(map(word, letters))


@given(st.text())
def test_tokens_are_never_empty(text: str) -> None:
    tokens = asking.parse(text).tokens

    assert all(token.word or token.number or token.domain for token in tokens)


@pytest.mark.parametrize("text", ["studio 54 7", "030 1 anna", "1 2 3"])
def test_tokens_are_those_of_all_ways(text: str) -> None:
    asked = asking.parse(text)

    assert set(asked.tokens) == {token for need in asked.needs for way in need for token in way}
