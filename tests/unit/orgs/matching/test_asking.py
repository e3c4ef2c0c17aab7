"""Which records are shown to a person beside each other, and what is said of them."""

from uuid import UUID

from services.orgs.matching import asking, profile
from services.orgs.matching.features import NAMES
from services.orgs.matching.profile import Profile, Stated
from services.orgs.matching.statement import Statement


def a_record(number: int, name: str, former: tuple[str, ...] = (), **stated: str) -> Profile:
    found = profile.of(Stated(name, **stated), ref=UUID(int=number).hex)
    return asking.seen(found, f"organization {number}", former)


def said(*, same: bool, left: int, right: int) -> Statement:
    sides = (frozenset({UUID(int=left)}), frozenset({UUID(int=right)}))
    return Statement(1, "e", UUID(int=99), same, *sides)


def refs(found: list[asking.Asked]) -> list[int]:
    return [UUID(hex=each.ref).int for each in found]


def test_who_resembles_is_asked_about_with_features_and_reasons() -> None:
    found = asking.asked(
        a_record(1, "Nordwind Logistics"),
        [a_record(2, "Nordwind Logistic"), a_record(3, "Quantum Boats")],
        (),
    )

    assert refs(found) == [2]
    assert set(found[0].features) <= set(NAMES)
    assert all(found[0].features.values())
    assert found[0].reasons


def test_a_domain_or_a_former_name_is_enough_to_ask() -> None:
    found = asking.asked(
        a_record(1, "Alpha", ("omega",), website="alpha.com"),
        [a_record(2, "Zanzibar Ferries", website="alpha.com"), a_record(3, "Omega")],
        (),
    )

    assert sorted(refs(found)) == [2, 3]


def test_what_was_called_distinct_is_not_asked_and_an_unmet_merge_is() -> None:
    candidates = [a_record(2, "Nordwind"), a_record(3, "Quantum Boats")]
    verdicts = (said(same=False, left=1, right=2), said(same=True, left=3, right=1))

    assert refs(asking.asked(a_record(1, "Nordwind"), candidates, verdicts)) == [3]


def test_five_are_asked_about_and_those_that_stand_already() -> None:
    candidates = [a_record(n, "Nordwind Logistics", city=f"City {n}") for n in range(2, 12)]
    arriving = a_record(1, "Nordwind Logistic")

    fresh = asking.asked(arriving, candidates, ())
    left_out = next(c for c in candidates if c.ref not in {each.ref for each in fresh})
    standing = asking.asked(arriving, candidates, (), frozenset({left_out.ref}))

    assert len(fresh) == 5
    assert {each.ref for each in standing} == {each.ref for each in fresh} | {left_out.ref}
