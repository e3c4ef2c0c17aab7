from hypothesis import given
from hypothesis import strategies as st

from services.orgs import merging

IDS = st.integers(1, 9)


def test_a_chain_ends_at_its_last() -> None:
    assert merging.roots({1: 2, 2: 3}, {}) == {1: 3, 2: 3}


def test_a_chain_goes_on_where_it_is_known_to_go_on() -> None:
    assert merging.roots({1: 2}, {2: 7}) == {1: 7}


def test_a_circle_ends_at_its_smallest() -> None:
    assert merging.roots({1: 5, 5: 4, 4: 9, 9: 5}, {}) == {1: 4, 5: 4, 4: 4, 9: 4}


@given(st.dictionaries(IDS, IDS))
def test_every_loser_ends_where_its_survivor_ends(edges: dict[int, int]) -> None:
    ends = merging.roots(edges, {})

    assert ends == {loser: ends.get(survivor, survivor) for loser, survivor in edges.items()}


@given(st.dictionaries(IDS, IDS), st.randoms())
def test_the_order_of_merges_does_not_matter(edges: dict[int, int], rng: object) -> None:
    order = list(edges)
    rng.shuffle(order)

    assert merging.roots({one: edges[one] for one in order}, {}) == merging.roots(edges, {})
