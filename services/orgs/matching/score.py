"""How likely two records are to mean one organization, from 0 to 1. Pure.

Rule 1: the score is a logistic sum of named features; the coefficients are data (weights.py).
Rule 2: each feature's share of the sum is available, so a reviewer sees why.
Rule 3: if either side has no key, the score is 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from services.orgs.matching import features, weights
from services.orgs.matching.features import NAMES, Features
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity

_COEFFICIENTS = tuple(weights.COEFFICIENTS[name] for name in NAMES)


@dataclass(frozen=True, slots=True)
class Scored:
    """A stored record beside an arriving one."""

    other: Profile
    features: Features
    score: float


@dataclass(frozen=True, slots=True)
class Share:
    """What one feature adds to the sum or takes from it."""

    feature: str
    value: float
    points: float


def of(found: Features) -> float:
    return logistic(weights.INTERCEPT + sum(map(mul, _COEFFICIENTS, found)))


def logistic(total: float) -> float:
    return 1 / (1 + math.exp(-total)) if total > 0 else math.exp(total) / (1 + math.exp(total))


def compared(arriving: Profile, stored: Profile, rarity: Rarity) -> Scored:
    found = features.between(arriving, stored, rarity)
    unnamed = not arriving.name.core or not stored.name.core
    return Scored(stored, found, 0.0 if unnamed else of(found))


def shares(found: Features) -> Sequence[Share]:
    """The features that count, heaviest first."""
    counted = [
        Share(name, value, coefficient * value)
        for name, value, coefficient in zip(NAMES, found, _COEFFICIENTS, strict=True)
        if value
    ]
    return sorted(counted, key=lambda share: (-abs(share.points), share.feature))
