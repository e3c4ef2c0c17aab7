"""Thresholds and what counts of answers."""

from collections.abc import Sequence

from bench import matching_measure as measure
from bench.matching_task import Arrival, Row
from services.orgs.matching import profile
from services.orgs.matching.profile import Stated


def arrivals(*known: bool) -> list[Arrival]:
    """Each known one belongs to the organization "1"."""
    stated = Stated("Acme")
    return [
        Arrival(Row("1", stated), profile.of(stated), known=each, fitting=True) for each in known
    ]


def fitted(scores: Sequence[float], known: Sequence[bool], least_precision: float = 0.0) -> float:
    return measure.fitted(arrivals(*known), [("1", score) for score in scores], least_precision)


def test_a_threshold_lies_halfway_between_the_scores_that_it_parts() -> None:
    assert fitted([0.9, 0.1], [True, False]) == 0.5


def test_what_is_not_precise_enough_is_not_taken() -> None:
    assert fitted([0.9, 0.5, 0.4], [True, False, True]) == 0.2
    assert fitted([0.9, 0.5, 0.4], [True, False, True], 0.95) == 0.7


def test_a_half_with_nothing_known_links_nothing_of_it() -> None:
    assert fitted([0.4, 0.2], [False, False]) == 0.7
    assert fitted([], []) == 0.5


def test_precision_recall_and_what_was_swallowed_are_counted_on_the_other_half() -> None:
    pairs = arrivals(True, True, False)
    found = measure.at(list(zip(pairs, [("1", 0.9), ("2", 0.8), ("3", 0.7)], strict=True)), 0.7)

    assert (found.precision, found.recall, found.swallowed) == (1 / 3, 1 / 2, 1.0)
