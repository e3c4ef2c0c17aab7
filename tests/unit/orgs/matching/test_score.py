# ruff: noqa: RUF001  names in Cyrillic and Greek letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orgs.matching import score, weights
from services.orgs.matching.features import NAMES, Features
from tests.support.matching_profiles import NO_NAMES, a_profile


def _score(one: str, other: str, **stated: str) -> float:
    return score.compared(a_profile(one, **stated), a_profile(other, **stated), NO_NAMES).score


def test_every_feature_has_a_coefficient_and_no_other_has() -> None:
    assert tuple(weights.COEFFICIENTS) == NAMES


def test_what_sets_records_apart_never_raises_a_score() -> None:
    against = {name for name in NAMES if "differ" in name or "contradict" in name}

    assert all(weights.COEFFICIENTS[name] <= 0 for name in against)
    assert weights.REVIEW < weights.AUTOMATIC


@given(st.tuples(*[st.floats(0, 1)] * len(NAMES)))
def test_a_score_lies_between_0_and_1_and_its_shares_add_up(values: tuple[float, ...]) -> None:
    found = Features(*values)

    assert 0.0 <= score.of(found) <= 1.0
    total = weights.INTERCEPT + sum(share.points for share in score.shares(found))
    assert score.of(found) == pytest.approx(score.logistic(total))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zanzibar Ferries Ltd", "ZANZIBAR FERRIES LIMITED"),
        ("Müller Maschinenbau GmbH", "Mueller Maschinenbau"),
        ("Wisła Okna Sp. z o.o.", "WISLA OKNA"),
        ("Норд Логистика ООО", "Nord Logistika"),
        ("Kestrel Pharmaceuticals Inc", "Kestrel Pharma"),
        ("Coca-Cola Hellas", "CocaCola Hellas"),
        ("Univ. of Zyntal", "Zyntal University"),
        ("Université de Zyntal", "Universität Zyntal"),
        ("Zyntal Krankenhaus Süd", "Zyntal Hospital South"),
        ("Kestrel & Wren Rechtsanwälte", "Kestrel Wren Kanzlei"),
        ("Кредо", "Credo"),
        ("Τράπεζα Ζύνταλ", "Zyntal Bank"),
        ("Ζύνταλ Φαρμακείο", "Apotheke Zyntal"),
        ("Steuerkanzlei Gerald Zyntal", "Gerald Zyntal Steuerberatung"),
        ("Dr. med. Ewa Zyntal", "Praxis Dr. Ewa Zyntal"),
    ],
)
def test_another_spelling_is_worth_a_review_at_least(one: str, other: str) -> None:
    assert _score(one, other) >= weights.REVIEW


def test_another_member_of_a_group_comes_after_a_misspelt_name() -> None:
    misspelt = _score("Zyntalis Maschinenbau GmbH", "Zyntalys Maschinenbau GmbH")
    sibling = _score("Zyntalis Maschinenbau GmbH", "Zyntalis Maschinenbau Holding GmbH")

    assert weights.REVIEW <= sibling < misspelt


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nord Bank", "Süd Bank"),
        ("Zanzibar Ferries Ltd", "Zanzibar Spices Ltd"),
        ("Global Services Group", "Global Solutions Group"),
        ("University of Zyntal", "Universität Yorb"),
        ("Stadt München", "City of Cologne"),
        ("…", "…"),
    ],
)
def test_other_organizations_are_not_worth_one(one: str, other: str) -> None:
    assert _score(one, other) < weights.REVIEW


def test_another_fact_alike_raises_a_score() -> None:
    alone = _score("Kestrel Pharmaceuticals", "Kestrel Pharma")

    assert _score("Kestrel Pharmaceuticals", "Kestrel Pharma", website="kestrel.com") > alone
