"""The rules that link records, and the verdicts that bind them. Values only. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Rule(StrEnum):
    """The letters of the decision table by which records are linked; a verdict outranks them."""

    VERDICT = "verdict"
    KEY_AND_EVIDENCE = "b"
    EQUAL_NAME = "c"
    SCORE = "d"


Pair = frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Pairs of records that a person called the same, or distinct, and that are still in force."""

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
