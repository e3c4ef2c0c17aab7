"""The slots that have a token, or meet a need, by level. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.query.searching import ranking
from services.query.searching.asking import Need, Token
from services.query.searching.ranking import Levels
from services.query.searching.terms import Kind


@dataclass(slots=True)
class Slots:
    """The slots that have one token, by level; apart, those that have it by their organization's
    name.
    """

    own: dict[int, int] = field(default_factory=dict)
    by_organization: dict[int, int] = field(default_factory=dict)

    def add(self, level: int, kind: int, slots: int) -> None:
        side = self.by_organization if kind == Kind.ORGANIZATION else self.own
        side[level] = side.get(level, 0) | slots

    def levels(self) -> dict[int, int]:
        found = dict(self.own)
        for level, slots in self.by_organization.items():
            found[level] = found.get(level, 0) | slots
        return found

    def keep(self, slots: int) -> None:
        for side in (self.own, self.by_organization):
            for level in side:
                side[level] &= slots


Tokens = Mapping[Token, Slots]


class Met(NamedTuple):
    """The slots that meet one need, by level: in any way, by their own text alone, and by their
    organization's name alone.
    """

    anyhow: Levels
    own: Levels
    by_organization: Levels


def met(need: Need, tokens: Tokens) -> Met:
    return Met(
        _levels(need, lambda token: tokens[token].levels()),
        _levels(need, lambda token: tokens[token].own),
        _levels(need, lambda token: tokens[token].by_organization),
    )


def _levels(need: Need, of_token: Callable[[Token], Levels]) -> Levels:
    found: dict[int, int] = {}
    for way in need:
        for rank, slots in ranking.classes([of_token(token) for token in way]):
            found[rank] = found.get(rank, 0) | slots
    return found
