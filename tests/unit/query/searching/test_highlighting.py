from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.query.searching import asking, highlighting
from services.query.searching.matching import Reach


def marked(text: str, asked: str) -> list[str]:
    found = asking.parse(asked)
    units = text.encode("utf-16-le")
    return [
        units[2 * start : 2 * end].decode("utf-16-le")
        for start, end in highlighting.of_name(
            text, found, dict.fromkeys(found.tokens, Reach.BEGUN)
        )
    ]


def test_the_part_that_was_asked_for_is_marked() -> None:
    assert marked("Jürgen Groß", "gross jur") == ["Jür", "Groß"]
    assert marked("Lindberg", "dber") == ["dber"]
    assert marked("😀 Smith", "smiht") == ["Smith"]
    assert marked("Christoffer Kristoffersen", "kristof") == ["Christof", "Kristof"]
    assert marked("Christopher", "christof") == ["Christo"]
    assert marked("Muhammad", "mohamad") == ["Muhammad"]
    assert marked("Anna", "bert") == []
    assert marked("Marie Jean-Pierre", "jeanpi") == ["Jean-Pi"]
    assert marked("A.B.C. Ltd", "abc") == ["A.B.C"]
    assert marked("Jan van der Berg", "vanderberg") == ["van", "der", "Berg"]
    assert marked("Fiona McDonald", "mc donald") == ["McDonald"]
    assert marked("Jörg Groß", "joe") == ["Jö"]
    assert marked("王小明", "小明") == ["小明"]
    assert highlighting.of_email("a.b@c.de", asking.parse("ab"), {}) == []


def test_a_letter_is_marked_with_the_accents_upon_it() -> None:
    assert marked("Jose\u0301 Lo\u0301pez", "jose") == ["Jose\u0301"]
    assert marked("Jose\u0301 Lo\u0301pez", "lo") == ["Lo\u0301"]
    assert marked("Bo\u0308ll", "boe") == ["Bo\u0308"]


def test_digits_are_marked_whatever_stands_between_them() -> None:
    assert highlighting.of_number("+49 (0)30 12-34", asking.parse("1234")) == [[10, 15]]
    assert highlighting.of_number("030 123456", asking.parse("+49 30 123456")) == [[1, 10]]
    assert highlighting.of_number("030 12", asking.parse("999")) == []
    assert highlighting.of_number("+1 555-010-0199", asking.parse("010")) == [[7, 10]]
    assert highlighting.of_number("030/1234-56", asking.parse("030")) == [[0, 3]]
    assert highlighting.of_number("+372 5550 1234", asking.parse("550 12")) == [[6, 12]]
    assert highlighting.of_number("+49 (0)30 12", asking.parse("49 30 12")) == [[0, 12]]


@given(st.text(max_size=80), st.text(max_size=20))
def test_ranges_lie_in_the_text_and_apart(text: str, asked: str) -> None:
    found = asking.parse(asked)
    size = len(text.encode("utf-16-le", "surrogatepass")) // 2

    ranges = highlighting.of_name(text, found, dict.fromkeys(found.tokens, Reach.BEGUN))

    assert all(0 <= start < end <= size for start, end in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
