"""How well scores predicted what followed. Pure.

Rule 1: scores are whole numbers from 0 to 10, so counts per score hold all that the figures need,
        however many contacts and days there were.
Rule 2: ties are not ordered: a tied pair counts half, and where a share of contacts ends among
        equal scores, it gets their average.
Rule 3: a figure that is undefined, because no score or every score had an outcome, is null.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SCORES = 11
HORIZON = timedelta(days=90)
BANDS = (("0-3", range(4)), ("4-6", range(4, 7)), ("7-10", range(7, SCORES)))


@dataclass(frozen=True, slots=True)
class Tally:
    """For each score: how often it was given, and how often an outcome followed."""

    given: tuple[int, ...]
    followed: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.given)

    @property
    def outcomes(self) -> int:
        return sum(self.followed)

    @property
    def base_rate(self) -> float | None:
        return share(self.outcomes, self.total)

    def plus(self, other: "Tally") -> "Tally":
        return Tally(
            tuple(a + b for a, b in zip(self.given, other.given, strict=True)),
            tuple(a + b for a, b in zip(self.followed, other.followed, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """The scores as of an instant, and what followed them within `HORIZON`."""

    at: datetime
    tally: Tally


NOTHING = Tally((0,) * SCORES, (0,) * SCORES)


@dataclass(frozen=True, slots=True)
class Span:
    """What the log holds of a company."""

    began: datetime
    ended: datetime
    events: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Per band, the share of contacts that had an outcome; `against_all` is its ratio to the share
    of all contacts.
    """

    band: str
    given: int
    followed: int
    rate: float | None
    against_all: float | None


def tally(counts: Mapping[int, tuple[int, int]]) -> Tally:
    """From (given, followed) by score."""
    pairs = [counts.get(score, (0, 0)) for score in range(SCORES)]
    return Tally(tuple(given for given, _ in pairs), tuple(followed for _, followed in pairs))


def added(tallies: Iterable[Tally]) -> Tally:
    whole = NOTHING
    for each in tallies:
        whole = whole.plus(each)
    return whole


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def auc(found: Tally) -> float | None:
    """The probability that someone with an outcome scored higher than someone without; 0.5 is
    chance.
    """
    pairs = found.outcomes * (found.total - found.outcomes)
    wins, below = 0.0, 0
    for given, followed in zip(found.given, found.followed, strict=True):
        without = given - followed
        wins += followed * (below + without / 2)
        below += without
    return share(wins, pairs)


def lift(found: Tally, top: float = 0.1) -> float | None:
    """How many times more often than average an outcome followed for the top share."""
    left = wanted = found.total * top
    followed = 0.0
    for score in reversed(range(SCORES)):
        given = found.given[score]
        taken = min(given, left)
        if given:
            followed += found.followed[score] * taken / given
        left -= taken
    rate, base = share(followed, wanted), found.base_rate
    return None if rate is None or not base else rate / base


def calibration(found: Tally) -> list[Calibration]:
    return [_band(found, name, scores) for name, scores in BANDS]


def _band(found: Tally, name: str, scores: Sequence[int]) -> Calibration:
    given = sum(found.given[score] for score in scores)
    followed = sum(found.followed[score] for score in scores)
    rate, base = share(followed, given), found.base_rate
    against_all = None if rate is None or not base else rate / base
    return Calibration(name, given, followed, rate, against_all)


def roc(found: Tally) -> list[tuple[float, float]]:
    """Share of those without an outcome, share of those with one, above each score, descending."""
    outcomes, others = found.outcomes, found.total - found.outcomes
    if not outcomes or not others:
        return []
    points = [(0.0, 0.0)]
    with_one = without = 0
    for score in reversed(range(SCORES)):
        with_one += found.followed[score]
        without += found.given[score] - found.followed[score]
        points.append((without / others, with_one / outcomes))
    return points
