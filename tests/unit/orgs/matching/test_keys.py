# ruff: noqa: RUF001  names in Cyrillic and Greek letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orgs import names
from services.orgs.matching import keys
from services.orgs.matching.legal_forms import LegalForm

PIECES = """
Acme AT&T The GmbH & Co. KG S.A. Ltd. 株式会社 ООО (株) II Müller トヨタ A/S z o.o. … 3M
بنك จำกัด Sp. d'Or - acme.com www.acme.de (old) duplicate: a@acme.de Co.KG
"""
NAMES_OF_ANY_KIND = st.text() | st.lists(st.sampled_from(PIECES.split())).map(" ".join)


@pytest.mark.parametrize(
    ("name", "core", "form", "kind"),
    [
        ("Acme Corp.", "acme", "corp", "corporation"),
        ("The Acme Company, Inc.", "acme", "inc", "corporation"),
        ("AT&T", "at and t", "", None),
        ("Smith & Sons Ltd", "smith and sons", "ltd", "private company"),
        ("J. P. Morrow & Co.", "jp morrow", "", None),
        ("Müller Maschinen GmbH & Co. KG", "muller maschinen", "kg", "partnership"),
        ("Coca-Cola", "coca cola", "", None),
        ("L'Étoile S.à r.l.", "letoile", "sarl", "private company"),
        ("ACME Società per Azioni", "acme", "spa", "public company"),
        ("Wisła Sp. z o.o.", "wisla", "spzoo", "private company"),
        ("Wisła Spółka z ograniczoną odpowiedzialnością", "wisla", "spzoo", "private company"),
        ("Норд ООО", "nord", "ooo", "private company"),
        ("ООО «Норд»", "nord", "ooo", "private company"),
        ("株式会社トヨタ", "toyota", "kk", "public company"),
        ("㈱トヨタ", "toyota", "kk", "public company"),
        ("北京天天有限公司", "beijingtiantian", "co ltd", "private company"),
        ("한빛(주)", "hanbich", "kk", "public company"),
        ("עלית בע״מ", "lyt", "ltd", "private company"),
        ("Ακμή Α.Ε.", "akmi", "ae", "public company"),
        ("Limited", "limited", "", None),
        ("Co. Ltd.", "co", "ltd", "private company"),
    ],
)
def test_names_lose_their_legal_form_their_script_and_their_accents(
    name: str, core: str, form: str, kind: str | None
) -> None:
    found = keys.of_name(name)

    assert (found.core, found.form.spelling) == (core, form)
    assert kind in found.form.kinds or not (kind or found.form.kinds)


@pytest.mark.parametrize(
    ("name", "core", "form"),
    [
        ("SCI Dupontel", "dupontel", "sci"),
        ("LLC Romashka", "romashka", "llc"),
        ("CV. Maju Jaya", "maju jaya", "cv"),
        ("LC Waikiki", "lc waikiki", ""),
    ],
)
def test_some_forms_also_lead(name: str, core: str, form: str) -> None:
    found = keys.of_name(name)

    assert (found.core, found.form.spelling) == (core, form)


@pytest.mark.parametrize(
    ("name", "core", "inner"),
    [
        ("Zyntalis e.V. Berlin", "zyntalis ev berlin", "ev"),
        ("Zyntalis GmbH & Co. KG Berlin", "zyntalis gmbh and co kg berlin", "kg"),
        ("Zyntalis AG Berlin GmbH", "zyntalis ag berlin", "ag"),
        ("Zyntalis Corp. PLC Class A", "zyntalis corp plc class a", "plc"),
        ("Zyntalis GmbH Berlin AG Bonn", "zyntalis gmbh berlin ag bonn", "gmbh"),
        ("AG Zyntalis", "ag zyntalis", ""),
        ("Zyntalis Sci. Instruments", "zyntalis sci instruments", ""),
        ("Zyntalis & Co. Berlin", "zyntalis and co berlin", ""),
    ],
)
def test_a_form_inside_a_name_stays_and_is_known(name: str, core: str, inner: str) -> None:
    found = keys.of_name(name)

    assert (found.core, found.inner.spelling) == (core, inner)


def test_a_name_is_taken_apart_up_to_the_longest_that_is_compared() -> None:
    longest = "n" * (keys.LONGEST_COMPARED - len("acme  gmbh")) + " Acme GmbH"

    assert keys.of_name(longest).form.spelling == "gmbh"
    assert keys.of_name(f"nn{longest}") == keys.NameKeys(
        f"nn{longest}".lower(), f"nn{longest}".lower()
    )


@given(NAMES_OF_ANY_KIND)
def test_a_core_key_is_empty_only_where_the_normalized_name_is(name: str) -> None:
    assert bool(keys.core_key(name)) == bool(names.normalized(name))


@given(NAMES_OF_ANY_KIND)
def test_the_core_key_of_a_core_key_is_itself(name: str) -> None:
    once = keys.core_key(name)

    assert keys.core_key(once) == once


@given(NAMES_OF_ANY_KIND)
def test_case_and_surrounding_space_do_not_matter(name: str) -> None:
    assert keys.core_key(f"  {name} ") == keys.core_key(name)


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("www.acme-tools.de", "acme tools"),
        ("https://shop.acme.co.uk/about", "acme"),
        ("info@acme.de", "acme"),
        ("someone@gmail.com", "someone gmail com"),
        ("Acme.com, Inc.", "acme"),
        ("müller.de", "muller"),
        ("xn--mller-kva.de", "muller"),
        ("xn--0.com", "xn 0"),
        ("Acme GmbH & Co.KG", "acme"),
        ("Acme Co.Ltd.", "acme"),
        ("Dr.med. Acme", "dr med acme"),
        ("acme.se", "acme"),
        ("Joe.Coffee Roasters", "joe coffee roasters"),
    ],
)
def test_an_address_counts_as_the_name_it_is_made_of(name: str, core: str) -> None:
    assert keys.core_key(name) == core


@pytest.mark.parametrize(
    "name",
    [
        "Acme Tools (old)",
        "Acme Tools GmbH [DO NOT USE]",
        "DUPLICATE: Acme Tools",
        "*** nicht verwenden *** - Acme Tools",
        "Acme Tools - inactive",
        "Acme (duplicate) Tools",
    ],
)
def test_what_people_note_beside_a_name_is_no_part_of_it(name: str) -> None:
    assert keys.core_key(name) == "acme tools"


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("Old Mill", "old mill"),
        ("(old)", "old"),
        ("Old - Mill", "old mill"),
        ("Closed Loop", "closed loop"),
        ("Copy-Shop", "copy shop"),
        ("Acme: Old", "acme old"),
    ],
)
def test_a_note_that_may_be_a_name_stays(name: str, core: str) -> None:
    assert keys.core_key(name) == core


@pytest.mark.parametrize("name", [None, "", "…", "\u2764\ufe0f", "--"])
def test_what_has_no_letter_and_no_digit_has_no_key(name: str | None) -> None:
    assert keys.of_name(name) == keys.NO_NAME


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Nordlicht Fund II LP", {2}),
        ("Nordlicht Fund III LP", {3}),
        ("Nordlicht Fund V", {5}),
        ("V Hotels", set()),
        ("3M Deutschland", {3}),
        ("Studio 54 Berlin 2", {54, 2}),
        ("Mix Media", set()),
        ("Nordlicht Fund XXI LP", {21}),
        ("Nordlicht Fund XXXIX", {39}),
        ("Nordlicht X", {10}),
        ("Nordlicht XL", set()),
        ("Nordlicht IIX VX", set()),
        ("XXX Nordlicht", set()),
        ("٣ نجوم", {3}),
    ],
)
def test_numbers_are_read_in_digits_and_roman_numerals(name: str, numbers: set[int]) -> None:
    assert keys.of_name(name).numbers == numbers


def test_a_very_long_number_is_no_error() -> None:
    assert keys.of_name("Acme " + "9" * 10_000).core.startswith("acme 9")


def test_kinds_contradict_only_where_both_are_said_and_none_is_shared() -> None:
    gmbh, ag, ab = (keys.of_name(f"Acme {form}").form for form in ("GmbH", "AG", "AB"))

    assert gmbh.contradicts(ag)
    assert ag.contradicts(gmbh)
    assert not ab.contradicts(ag)
    assert not gmbh.contradicts(LegalForm())
