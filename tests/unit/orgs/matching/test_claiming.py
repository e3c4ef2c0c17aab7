from uuid import UUID

import pytest

from services.orgs.matching import claiming
from services.orgs.matching.statement import Ref, Statement


def refs(*numbers: int) -> frozenset[Ref]:
    return frozenset(UUID(int=number) for number in numbers)


def merged(*pairs: tuple[set[int], set[int]]) -> list[Statement]:
    """Winners and losers, the newest first."""
    return [
        Statement(-at, "e", UUID(int=at), True, refs(*winners), refs(*losers))
        for at, (winners, losers) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("merges", "whole", "expected"),
    [
        ([], {1, 2}, {1, 2}),
        ([({2}, {1})], {1, 2}, {2}),
        ([({2, 3}, {4})], {1, 2, 3, 4}, {2, 3}),
        ([({3, 9}, {2}), ({9}, {5})], {2, 3, 5, 9}, {9}),
        ([({3}, {2}), ({1}, {2})], {1, 2, 3}, {3}),
        ([({9}, {5}), ({5}, {7})], {5, 6, 7, 9}, {9}),
        ([({1}, {2}), ({3}, {1})], {1, 2, 3}, {3}),
        ([({2}, {1}), ({1}, {2})], {1, 2}, {2}),
        ([({2}, {3}), ({3}, {1}), ({1}, {2})], {1, 2, 3}, {2}),
        ([({1}, {2})], {2, 3}, {2, 3}),
        ([({1}, {3}), ({1, 4}, {2})], {2, 3, 4, 5}, {4}),
        ([({1}, set()), ({2}, {3})], {1, 2, 3}, {2}),
        ([({2}, {1}), ({5}, {1}), ({5}, {2})], {1, 2, 5}, {2}),
        ([({2}, {3}), ({1}, {2, 3})], {1, 2, 3}, {1}),
    ],
    ids=[
        "nobody merged",
        "the winner, though not the lowest",
        "a winner, though another came by the rules",
        "of two who won, who won before",
        "of two who won over one, who did so last",
        "the winner over who had won, whoever came by the rules",
        "who won over who won later",
        "turned round",
        "turned round through a third",
        "the winner is gone",
        "some winners are gone",
        "what was only called what it was has won nothing",
        "the winner over a record of the organization to which it lost before",
        "who won over the winner and the loser before, who were one since",
    ],
)
def test_the_id_is_a_winners_who_lost_to_nobody(
    merges: list[tuple[set[int], set[int]]], whole: set[int], expected: set[int]
) -> None:
    assert claiming.among(refs(*whole), merged(*merges)) == refs(*expected)


@pytest.mark.timeout(5)
def test_what_was_merged_back_and_forth_many_times_is_weighed_at_once() -> None:
    merges = merged(*[({1}, {2}), ({2}, {1})] * 20)

    assert claiming.among(refs(1, 2), merges) == refs(1)
