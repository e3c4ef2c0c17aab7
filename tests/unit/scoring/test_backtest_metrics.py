"""Figures of a backtest against values worked out by hand."""

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.backtest import metrics
from services.scoring.backtest.metrics import Calibration, Tally

PLANTED = {7: (200, 120), 0: (200, 40)}
"""(given, followed) by score."""

pairs = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda p: (sum(p), p[0]))
tallies = st.dictionaries(st.integers(0, 10), pairs).map(metrics.tally)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({10: (1, 1), 0: (1, 0)}, 1.0),
        ({10: (1, 0), 0: (1, 1)}, 0.0),
        ({5: (10, 3)}, 0.5),
        # 3 outcomes against 3 others: 6 pairs won, 2 tied, 1 lost, of 9.
        ({8: (2, 2), 5: (3, 1), 1: (1, 0)}, 8 / 9),
        # Of 160 with an outcome 120 are at 7, of 240 without one 80.
        (PLANTED, 0.5 + (120 / 160 - 80 / 240) / 2),
        ({3: (4, 0)}, None),
        ({3: (4, 4)}, None),
        ({}, None),
    ],
)
def test_auc(counts: Mapping[int, tuple[int, int]], expected: float | None) -> None:
    found = metrics.auc(metrics.tally(counts))

    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # The top 40 of 400 are at 7, where 60 % follow; 40 % do of all.
        (PLANTED, 1.5),
        # The top 10 of 100: all 4 at 9, and 6 of the 96 at 2, where 8 follow; 12 % do of all.
        ({9: (4, 4), 2: (96, 8)}, (4 + 6 * 8 / 96) / 10 / 0.12),
        ({5: (10, 3)}, 1.0),
        ({5: (10, 0)}, None),
        ({}, None),
    ],
)
def test_lift_of_the_top_tenth(
    counts: Mapping[int, tuple[int, int]], expected: float | None
) -> None:
    found = metrics.lift(metrics.tally(counts))

    assert found == (None if expected is None else pytest.approx(expected))


def test_calibration_per_band() -> None:
    found = metrics.calibration(metrics.tally({0: (10, 1), 3: (10, 3), 6: (20, 8), 7: (0, 0)}))

    assert found == [
        Calibration("0-3", 20, 4, 0.2, pytest.approx(0.2 / 0.3)),
        Calibration("4-6", 20, 8, 0.4, pytest.approx(0.4 / 0.3)),
        Calibration("7-10", 0, 0, None, None),
    ]


def test_samples_add_up() -> None:
    one = metrics.tally({0: (1, 0), 10: (2, 1)})

    assert metrics.added([one, one]) == metrics.tally({0: (2, 0), 10: (4, 2)})
    assert metrics.added([]) == metrics.NOTHING


@given(tallies)
def test_auc_is_the_area_under_the_curve(found: Tally) -> None:
    points = metrics.roc(found)
    area = sum(
        (right[0] - left[0]) * (right[1] + left[1]) / 2
        for left, right in itertools.pairwise(points)
    )

    assert metrics.auc(found) == (pytest.approx(area) if points else None)


@given(tallies)
def test_figures_stay_in_their_bounds(found: Tally) -> None:
    area, lift = metrics.auc(found), metrics.lift(found)

    assert area is None or 0 <= area <= 1
    assert lift is None or 0 <= lift <= 10 + 1e-9
    assert sum(band.given for band in metrics.calibration(found)) == found.total
