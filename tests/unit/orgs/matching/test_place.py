import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack import country_names
from services.orgs.matching import place
from services.orgs.matching.country_table import NAMES


@pytest.mark.parametrize(
    "spelling",
    ["DE", "de", "DEU", "276", "Germany", "Deutschland", "Allemagne", "ドイツ", "Германия"],
)
def test_a_country_is_known_by_codes_and_in_many_languages(spelling: str) -> None:
    assert place.country(spelling) == "DE"


@pytest.mark.parametrize(
    ("spelling", "code"),
    [("UK", "GB"), ("U.S.A.", "US"), ("The Netherlands", "NL"), ("Côte d'Ivoire", "CI")],
)
def test_a_country_is_known_as_people_say_it(spelling: str, code: str) -> None:
    assert place.country(spelling) == code


@pytest.mark.parametrize("spelling", ["N/A", "n.a.", "n. a.", "s/d", "S.D.", "N\uff0fA"])
def test_letters_set_apart_are_no_code(spelling: str) -> None:
    assert place.country(spelling) is None


@pytest.mark.parametrize(
    ("spelling", "code"), [("NA", "NA"), ("de.", "DE"), ("U.S.", "US"), ("U. K.", "GB")]
)
def test_codes_and_what_people_say_are_countries(spelling: str, code: str) -> None:
    assert place.country(spelling) == code


@pytest.mark.parametrize("spelling", [None, "", "Atlantis", "EU", "??"])
def test_what_is_no_country_is_none(spelling: str | None) -> None:
    assert place.country(spelling) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("D-10115", "10115"),
        ("SW1A 1AA", "sw1a1aa"),
        ("01067", "1067"),
        ("541-0045", "5410045"),
        ("94105-1234", "94105"),
        ("US-94105-1234", "94105"),
        (" 02134-1000 ", "2134"),
    ],
)
def test_a_postcode_has_one_spelling(one: str, other: str) -> None:
    assert place.postcode(one) == place.postcode(other) is not None


@pytest.mark.parametrize("spelling", ["94105-123", "9410-1234", "94105 1234", "01310-100"])
def test_what_only_resembles_a_zip_code_with_four_digits_is_read_whole(spelling: str) -> None:
    digits = spelling.replace("-", "").replace(" ", "").lstrip("0")

    assert place.postcode(spelling) == digits


@given(st.text())
def test_places_are_normalized_once(text: str) -> None:
    for normalize in (place.postcode, place.city, place.country):
        once = normalize(text)

        assert normalize(once) == once


def test_what_countries_are_called_is_what_the_cldr_says() -> None:
    """`python -m devstack.country_names` writes the table anew."""
    made = country_names.written(country_names.names())

    assert country_names.TABLE.read_text() == made
    assert {code: names.split(";") for code, names in NAMES.items()} == country_names.names()
