"""What a word of a name tells."""

import pytest

from services.orgs.matching import meanings
from services.orgs.matching.rarity import Rarity

WEIGHT = Rarity().weight


@pytest.mark.parametrize(
    "kind", ["gymnasium", "steuerkanzlei", "praxis", "trattoria", "district", "police", "airlines"]
)
def test_what_kind_of_organization_it_is_tells_less_than_its_name(kind: str) -> None:
    assert WEIGHT("and") < WEIGHT(kind) < 0.6 < WEIGHT("zyntalis")


@pytest.mark.parametrize(
    ("one", "other"), [("bank", "banque"), ("school", "szkola"), ("group", "gruppe")]
)
def test_a_word_tells_as_much_in_every_language(one: str, other: str) -> None:
    assert meanings.are_one(one, other)
    assert WEIGHT(one) == WEIGHT(other)
