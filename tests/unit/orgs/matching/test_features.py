import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orgs.matching import alignment, features, reasons
from services.orgs.matching.features import NAMES, Features
from services.orgs.matching.rarity import Rarity
from tests.support.matching_profiles import NO_NAMES, a_profile

WORDS = ["Acme", "Acne", "Nord", "Nordlicht", "Intl", "International", "Bank", "Fund", "II", "3"]
FORMS = ["GmbH", "AG", "Ltd", "S.A.", "Inc", ""]
A_NAME = st.builds(
    lambda words, form: " ".join([*words, form]),
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.sampled_from(FORMS),
) | st.text(max_size=20)
A_PROFILE = st.builds(
    a_profile,
    A_NAME,
    former=st.lists(A_NAME, max_size=2).map(tuple),
    website=st.sampled_from(["", "acme.de", "acme.com", "gmail.com"]),
    country=st.sampled_from(["", "DE", "France"]),
    postcode=st.sampled_from(["", "10115", "D-10115", "75001"]),
    city=st.sampled_from(["", "Berlin", "Paris"]),
    phone=st.sampled_from(["", "+49 30 1234567", "030 1234567"]),
)
TENANT = Rarity(3, {"nord": 1, "bank": 2, "acme": 1, "nordlicht": 1})


@given(A_PROFILE, A_PROFILE)
def test_it_does_not_matter_which_record_comes_first(one, other) -> None:
    assert features.between(one, other, TENANT) == features.between(other, one, TENANT)


@given(A_PROFILE, A_PROFILE)
def test_every_feature_lies_between_0_and_1(one, other) -> None:
    assert all(0.0 <= value <= 1.0 for value in features.between(one, other, TENANT))


@given(A_PROFILE)
def test_nothing_sets_a_record_apart_from_itself(one) -> None:
    found = features.between(one, one, TENANT)

    assert reasons.vetoes(found) == ()
    assert found.same_words == float(bool(one.name.core))


@given(st.text(alphabet="…-!?. "), A_PROFILE)
def test_an_empty_key_equals_nothing(nothing: str, other) -> None:
    found = features.between(a_profile(nothing), other, TENANT)

    assert (found.same_words, found.shared, found.letters) == (0.0, 0.0, 0.0)


def test_a_rare_word_tells_more_than_a_common_one() -> None:
    assert TENANT.weight("zanzibar") > TENANT.weight("nord") > TENANT.weight("group")
    assert TENANT.weight("gmbh") < TENANT.weight("bank")
    assert 0.0 < TENANT.weight("and") < TENANT.weight("zanzibar") <= 1.0


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        ("international", "intl", 0.6),
        ("pharmaceuticals", "pharma", 0.9),
        ("mueller", "muller", 0.8),
        ("acme", "acme", 1.0),
    ],
)
def test_words_are_alike_where_misspelt_or_cut_short(one: str, other: str, least: float) -> None:
    assert alignment.likeness(one, other) == alignment.likeness(other, one) >= least


@pytest.mark.parametrize(("one", "other"), [("acme", "nord"), ("2020", "2021"), ("abc", "abd")])
def test_short_words_and_numbers_are_not_guessed_at(one: str, other: str) -> None:
    assert alignment.likeness(one, other) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        ("TU Zyntal", "Technical University of Zyntal", 0.6),
        ("UNSZ", "University of New South Zyntal", 0.8),
        ("Nord MMK", "Mineral Mining Kompanie Nord", 0.8),
    ],
)
def test_initials_stand_for_neighbouring_words(one: str, other: str, least: float) -> None:
    found = features.between(a_profile(one), a_profile(other), NO_NAMES)
    by_chance = features.between(a_profile(one), a_profile("Zenith Ontario"), NO_NAMES)

    assert found.shared >= least
    assert by_chance.shared < 0.5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Universität", "University"),
        ("Krankenhaus", "Hospital"),
        ("Muenchen", "Munich"),
        ("Rechtsanwälte", "Avocats"),
        ("St.", "Sankt"),
        ("Министерство", "Ministry"),
    ],
)
def test_words_that_people_translate_are_alike(one: str, other: str) -> None:
    there = features.between(a_profile(f"{one} Zyntal"), a_profile(f"Zyntal {other}"), NO_NAMES)
    back = features.between(a_profile(f"Zyntal {other}"), a_profile(f"{one} Zyntal"), NO_NAMES)

    assert there == back
    assert 0.9 <= there.shared < 1.0


def test_words_that_only_connect_tell_hardly_anything() -> None:
    found = features.between(a_profile("Zyntal of Yorb"), a_profile("Zyntal Yorb"), NO_NAMES)

    assert found.missing_from_one <= 0.1
    assert found.shared >= 0.9


def test_words_written_apart_are_the_words_written_as_one() -> None:
    found = features.between(a_profile("Coca Cola Ltd"), a_profile("CocaCola Ltd"), NO_NAMES)

    assert (found.shared, found.letters, found.same_form) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("one", "other", "feature"),
    [
        ("Acme GmbH", "Acme AG", "form_contradicts"),
        ("Acme e.V. Berlin", "Acme GmbH Berlin", "form_contradicts"),
        ("Acme GmbH Berlin", "Acme AG Berlin", "form_contradicts"),
        ("Acme GmbH & Co. KG Berlin", "Acme GmbH Berlin", "form_contradicts"),
        ("Acme e.V. Berlin", "Acme Berlin GmbH", "form_contradicts"),
        ("SCI Dupontel", "SARL Dupontel", "form_contradicts"),
        ("LLC Romashka", "JSC Romashka", "form_contradicts"),
        ("CV Maju Jaya", "PT Maju Jaya", "form_contradicts"),
        ("Nord Fund II", "Nord Fund III", "numbers_differ"),
        ("Nord Fund XXI LP", "Nord Fund XXII LP", "numbers_differ"),
        ("Nord Fund", "Nord Fund III", "number_on_one_side"),
        ("Nordlicht GmbH", "Nordlicht Holding GmbH", "word_on_one_side"),
        ("Nordlicht Immobilien GmbH & Co. KG", "Nordlicht GmbH & Co. KG", "word_on_one_side"),
        ("Nordlicht Fund, L.P.", "Nordlicht Opportunities Fund, L.P.", "word_on_one_side"),
        ("Nordlicht Management LLC", "Nordlicht GP LLC", "word_on_one_side"),
    ],
)
def test_forms_and_numbers_veto(one: str, other: str, feature: str) -> None:
    found = features.between(a_profile(one), a_profile(other), NO_NAMES)

    assert found.named()[feature] == 1.0
    assert len(reasons.vetoes(found)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nordlicht Holding GmbH", "Nordlicht"),
        ("Nordlicht Technologies Ltd", "Nordlicht Tech Limited"),
        ("Nordlicht Systems of Oslo AS", "Nordlict Systems Oslo AS"),
    ],
)
def test_a_word_left_out_or_misspelt_is_no_veto_where_a_register_did_not_write_both(
    one: str, other: str
) -> None:
    assert reasons.vetoes(features.between(a_profile(one), a_profile(other), NO_NAMES)) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("www.zyntal-yorb.com", "Zyntal Yorb Ltd"),
        ("Zyntal Great Yorb", "zyntalgreatyorb.de"),
        ("info@zyntalgreatyorb.de", "Zyntal Great Yorb"),
    ],
)
def test_an_address_has_the_words_of_the_name_that_it_is_made_of(one: str, other: str) -> None:
    found = features.between(a_profile(one), a_profile(other), NO_NAMES)

    assert (found.same_words, found.shared, found.missing_from_one) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme GmbH Berlin", "Acme Berlin GmbH"),
        ("Acme Spa Resort", "Acme Spa Resort GmbH"),
        ("Acme e.V. Berlin", "Acme Berlin"),
        ("LLC Romashka", "OOO Romashka"),
    ],
)
def test_forms_do_not_veto_where_one_is_unsaid_or_a_word_of_both(one: str, other: str) -> None:
    found = features.between(a_profile(one), a_profile(other), NO_NAMES)

    assert found.form_contradicts == 0.0


def test_facts_agree_differ_or_say_nothing() -> None:
    berlin = a_profile(website="acme.de", country="DE", city="Berlin", phone="+49 30 1234567")
    paris = a_profile(website="acme.fr", country="FR", city="Paris")
    found = features.between(berlin, paris, NO_NAMES)

    assert (found.domain_differs, found.country_differs, found.city_differs) == (1.0, 1.0, 1.0)
    assert (found.same_phone, found.same_postcode, found.postcode_differs) == (0.0, 0.0, 0.0)
    assert len(reasons.vetoes(found)) == 2


@pytest.mark.parametrize(
    "alphabet",
    ["abcdefghijklmnop ", "äöüßéñ 中文 ", "株式会社"],
    ids=["words", "foreign", "forms"],
)
def test_names_longer_than_any_real_one_are_equal_or_not_and_take_no_time(alphabet: str) -> None:
    rng = random.Random(1)  # noqa: S311  repeatable, not secret
    one, other = ("".join(rng.choices(alphabet, k=60_000)) for _ in range(2))
    began = time.monotonic()

    apart = features.between(a_profile(one), a_profile(other), NO_NAMES)
    equal = features.between(a_profile(one), a_profile(f"{one}!"), NO_NAMES)

    assert apart == Features()
    assert equal == Features(same_words=1.0)
    assert time.monotonic() - began < 5


def test_features_keep_their_names_in_order() -> None:
    assert tuple(Features().named()) == NAMES
    assert tuple(Features()) == (0.0,) * len(NAMES)
