import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orgs import names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Acme Corp.", "acme corp"),
        ("  ACME\t Corp ", "acme corp"),
        ("AT&T", "att"),
        ("snake_case GmbH & Co. KG", "snake_case gmbh co kg"),
        ("Müller Straße", "müller straße"),
        ("Mu\u0308ller", "müller"),
        ("Ω-Ωμέγα", "ωωμέγα"),
        ("株式会社トヨタ", "株式会社トヨタ"),
        ("हिन्दी", "हिन्दी"),
        ("Acme \u2764\ufe0f", "acme"),
        ("…", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_only_case_punctuation_and_spacing_are_set_aside(name: str | None, key: str) -> None:
    assert names.normalized(name) == key


@given(st.text())
def test_normalizing_twice_is_normalizing_once(name: str) -> None:
    once = names.normalized(name)

    assert names.normalized(once) == once


@given(st.text())
def test_composed_and_decomposed_letters_are_the_same(name: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))

    assert names.normalized(composed) == names.normalized(decomposed)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_short_way_through_ascii_agrees_with_the_long_way(name: str) -> None:
    assert names.normalized(name + " é") == f"{names.normalized(name)} é".strip()


def test_an_empty_name_has_no_key_and_tenants_share_none() -> None:
    assert names.key(1, "") is None
    assert names.key(1, "acme") != names.key(2, "acme")
