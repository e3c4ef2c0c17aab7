from itertools import permutations

import pytest

from services.orgs.matching import profile, renaming
from services.orgs.matching.asking import Was
from services.orgs.matching.profile import Stated
from services.orgs.matching.renaming import Told

Body = tuple[str | None, str | None]


def asked(*bodies: Body) -> Was | None:
    """What is asked of a record told as these bodies, the last of which is what it is."""
    names: dict[str, Told] = {}
    domains: dict[str, Told] = {}
    for version, body in enumerate(bodies):
        for told, text in zip((names, domains), body, strict=True):
            if text is not None:
                first = told[text].first if text in told else version
                told[text] = Told(text, first, version)
    now = [next(text for text in reversed(told) if text) for told in zip(*bodies, strict=True)]
    record = profile.of(Stated(now[0], website=now[1]), ref="1")
    for told_names in permutations(names.values()):
        found = renaming.asked(record, told_names, list(domains.values()))
        assert found == renaming.asked(record, list(names.values()), list(domains.values()))
    found = renaming.asked(record, list(names.values()), list(domains.values()))
    return found.was if found else None


def test_name_and_domain_both_changed_at_once_is_asked_about() -> None:
    found = asked(("Zanzibar Ferries", "zanzibar.com"), ("Quantum Boats", "quantum.io"))

    assert found == Was("Zanzibar Ferries", "zanzibar.com", 0)


def test_who_was_back_and_leaves_once_more_is_another_question() -> None:
    was = ("Zanzibar Ferries", "zanzibar.com")

    found = asked(was, ("Quantum Boats", "quantum.io"), was, ("Cobalt Mines", "cobalt.io"))

    assert found == Was("Zanzibar Ferries", "zanzibar.com", 2)


@pytest.mark.parametrize(
    "between",
    [("Quantum Boats", "zanzibar.com"), ("Zanzibar Ferries", "quantum.io")],
)
def test_one_change_that_the_other_fact_bore_out_is_not(between: Body) -> None:
    was, now = ("Zanzibar Ferries", "zanzibar.com"), ("Quantum Boats", "quantum.io")

    assert asked(was, between, now) is None


@pytest.mark.parametrize(
    "now",
    [
        ("Quantum Boats", "zanzibar.com"),
        ("Zanzibar Ferries", "quantum.io"),
        ("ZANZIBAR FERRIES LTD", "quantum.io"),
        ("Zanzibar Ferries", "zanzibar.com"),
    ],
)
def test_one_of_both_is_not(now: Body) -> None:
    assert asked(("Zanzibar Ferries", "zanzibar.com"), now) is None


def test_who_is_back_at_what_it_was_is_not_asked_about() -> None:
    was = ("Zanzibar Ferries", "zanzibar.com")

    assert asked(was, ("Quantum Boats", "quantum.io"), was) is None


def test_a_record_without_a_domain_is_not() -> None:
    assert asked(("Zanzibar Ferries", None), ("Quantum Boats", "quantum.io")) is None
