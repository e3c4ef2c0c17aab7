"""The slots that have a token, or meet a need, by level. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.query.searching import ranking
from services.query.searching.asking import Need, Token
from services.query.searching.bits import EMPTY, Bits
from services.query.searching.ranking import Levels
from services.query.searching.terms import Kind


@dataclass(slots=True)
class Slots:
    """The slots that have one token, by level; separately, those that have it in their
    organization's name.
    """

    own: dict[int, Bits] = field(default_factory=dict)
    by_organization: dict[int, Bits] = field(default_factory=dict)

    def add(self, level: int, kind: int, slots: Bits) -> None:
        side = self.by_organization if kind == Kind.ORGANIZATION else self.own
        side[level] = side.get(level, EMPTY) | slots

    def levels(self) -> Levels:
        found = dict(self.own)
        for level, slots in self.by_organization.items():
            found[level] = found.get(level, EMPTY) | slots
        return {level: slots for level, slots in found.items() if slots is not EMPTY}

    def drop(self, slots: Bits) -> None:
        for side in (self.own, self.by_organization):
            for level in side:
                side[level] -= slots


Tokens = Mapping[Token, Slots]


def anyhow(needs: Iterable[Need], tokens: Tokens) -> list[Levels]:
    """The slots that meet each need."""
    return [_levels(need, lambda token: tokens[token].levels()) for need in needs]


def own(needs: Iterable[Need], tokens: Tokens) -> list[Levels]:
    """Those that meet them by their own text alone."""
    return [_levels(need, lambda token: tokens[token].own) for need in needs]


def by_organization(needs: Iterable[Need], tokens: Tokens) -> list[Levels]:
    """Those that meet them by their organization's name alone."""
    return [_levels(need, lambda token: tokens[token].by_organization) for need in needs]


def _levels(need: Need, of_token: Callable[[Token], Levels]) -> Levels:
    if len(need) == 1 and len(need[0]) == 1:
        return of_token(need[0][0])
    found: dict[int, Bits] = {}
    for way in need:
        levels = [of_token(token) for token in way]
        ranked = levels[0].items() if len(way) == 1 else ranking.classes(levels)
        for rank, slots in ranked:
            found[rank] = found.get(rank, EMPTY) | slots
    return found
