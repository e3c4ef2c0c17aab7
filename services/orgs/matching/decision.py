"""What matching decides, and the verdicts of people that bind it. Values only. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Rule(StrEnum):
    """The letters of the decision table; a verdict stands above it."""

    VERDICT = "verdict"
    SAME_RECORD = "a"
    KEY_AND_EVIDENCE = "b"
    EQUAL_NAME = "c"
    SCORE = "d"
    REVIEW = "e"
    NEW = "f"


class Outcome(StrEnum):
    LINK = "link"
    REVIEW = "create apart and ask"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class Question:
    """Asked of a person: does the arriving record belong to this organization."""

    organization: str
    ref: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """`veto` tells what forbade linking to the best candidate. A link may come with questions."""

    outcome: Outcome
    rule: Rule
    organization: str | None = None
    score: float | None = None
    reasons: tuple[str, ...] = ()
    veto: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


Pair = frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Pairs of records that a person called the same, or not the same. They last."""

    same: frozenset[Pair] = field(default_factory=frozenset)
    distinct: frozenset[Pair] = field(default_factory=frozenset)

    def are_same(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self.same

    def are_distinct(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self.distinct


NO_VERDICTS = Verdicts()


def verdicts(
    same: Iterable[tuple[str, str]] = (), distinct: Iterable[tuple[str, str]] = ()
) -> Verdicts:
    return Verdicts(frozenset(map(frozenset, same)), frozenset(map(frozenset, distinct)))
