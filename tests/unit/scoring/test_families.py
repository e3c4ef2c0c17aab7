"""Merges lead to one contact, chains included, and never in a circle."""

from hypothesis import given
from hypothesis import strategies as st

from services.scoring.families import families, root

A, B, C, D = ((1, number) for number in range(1, 5))


def test_a_chain_of_merges_ends_at_its_survivor() -> None:
    assert root(A, {A: B, B: C}) == C
    assert families([A], {A: B, B: C}) == {C: [A, B, C]}


def test_who_was_never_merged_stands_alone() -> None:
    assert families([A, D], {B: C}) == {A: [A], D: [D]}


def test_a_survivor_brings_all_it_swallowed() -> None:
    assert families([C], {A: C, B: C}) == {C: [A, B, C]}


def test_a_circle_ends_at_its_smallest() -> None:
    merged = {A: C, C: D, D: B, B: C}

    assert root(A, merged) == root(D, merged) == B


def test_a_person_merged_into_itself_is_a_circle_of_one() -> None:
    assert families([A], {A: A}) == {A: [A]}


@given(st.dictionaries(st.integers(0, 6), st.integers(0, 6)))
def test_every_person_counts_for_one_contact_only(edges: dict[int, int]) -> None:
    merged = {(1, one): (1, other) for one, other in edges.items()}
    everyone = [(1, number) for number in range(7)]

    found = families(everyone, merged)

    assert sorted(person for members in found.values() for person in members) == everyone
