"""The figures of a list of answers, at a threshold fitted separately: precision, recall, F1."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.matching_baselines import Best
from bench.matching_task import Arrival


@dataclass(frozen=True, slots=True)
class Figures:
    """`swallowed` is the share of the new that went into a stored organization."""

    threshold: float
    precision: float
    recall: float
    swallowed: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def fitted(arrivals: Sequence[Arrival], best: Sequence[Best], least_precision: float) -> float:
    """The threshold with the highest F1 on the fitting half, among those precise enough, if any.

    It is halfway between the scores that it separates, as on a small half they may be far apart.
    """
    pairs = _half(arrivals, best, fitting=True)
    scores = sorted({0.0, 1.0, *(score for _, (cluster, score) in pairs if cluster is not None)})
    between = [(low + high) / 2 for low, high in pairwise(scores)]
    figures = [at(pairs, threshold) for threshold in _thinned(between)]
    precise = [each for each in figures if each.precision >= least_precision]
    return max(precise or figures, key=lambda each: (each.f1, each.precision)).threshold


def reported(arrivals: Sequence[Arrival], best: Sequence[Best], threshold: float) -> Figures:
    return at(_half(arrivals, best, fitting=False), threshold)


def at(pairs: Sequence[tuple[Arrival, Best]], threshold: float) -> Figures:
    known = sum(arrival.known for arrival, _ in pairs)
    linked = [
        (arrival, cluster)
        for arrival, (cluster, score) in pairs
        if cluster is not None and score >= threshold
    ]
    right = sum(arrival.known and arrival.row.cluster == cluster for arrival, cluster in linked)
    swallowed = sum(not arrival.known for arrival, _ in linked)
    return Figures(
        threshold,
        right / len(linked) if linked else 1.0,
        right / known if known else 0.0,
        swallowed / (len(pairs) - known) if len(pairs) > known else 0.0,
    )


def _half(
    arrivals: Sequence[Arrival], best: Sequence[Best], *, fitting: bool
) -> list[tuple[Arrival, Best]]:
    return [pair for pair in zip(arrivals, best, strict=True) if pair[0].fitting is fitting]


def _thinned(thresholds: Sequence[float]) -> Sequence[float]:
    """Thresholds enough to find the best one, and few enough to try each."""
    return thresholds[:: max(1, len(thresholds) // 400)]
