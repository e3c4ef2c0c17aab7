"""Rule e: about which organizations a person is asked for a record, given its state. Pure.

A score over the review threshold, the same domain under another name, a former name, the same key,
or a "same" that could not be applied. What was called distinct is not asked again; if that blocks
a third record, the question says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.orgs.matching import reasons, weights
from services.orgs.matching.decision import NO_VERDICTS, Verdicts
from services.orgs.matching.profile import Profile
from services.orgs.matching.score import Scored

MOST: Final = 5
BLOCKED: Final = "A person called it another organization than one of these records."


@dataclass(frozen=True, slots=True)
class Question:
    """Does the asking record belong to this organization? `ref` is the record that is like it."""

    organization: str
    ref: str
    score: float
    reasons: tuple[str, ...]


def about(
    asking: Profile, candidates: Sequence[Scored], verdicts: Verdicts = NO_VERDICTS
) -> tuple[Question, ...]:
    """The best question for each organization, best first."""
    distinct = [c for c in candidates if verdicts.are_distinct(asking.ref, c.other.ref)]
    closed = {each.other.organization for each in distinct}
    best: dict[str, Question] = {}
    for each in sorted(candidates, key=lambda each: each.score, reverse=True):
        if each in distinct or not _is_worth_asking(asking, each, verdicts):
            continue
        home = each.other.organization
        told = reasons.similarity(each.features, each.score)
        if home in closed:
            told = (BLOCKED, *told)
        best.setdefault(home, Question(home, each.other.ref, each.score, told))
    return tuple(best.values())[:MOST]


def _is_worth_asking(asking: Profile, each: Scored, verdicts: Verdicts) -> bool:
    found, name = each.features, asking.name.normalized
    return bool(
        each.score >= weights.REVIEW
        or found.same_domain
        or found.former_name
        or found.same_words
        or verdicts.are_same(asking.ref, each.other.ref)
        or (name and each.other.name.normalized == name)
    )
