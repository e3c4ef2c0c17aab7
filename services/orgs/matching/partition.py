"""Which records are one organization: all of a block at once, so no order of arrival shows. Pure.

In this order, each stage on top of what the ones before it united:
  verdicts  what people said, newest first, as far as it does not break a wall ("distinct");
  rule b    core key and legal form equal, borne out by a domain, or a postcode with its city;
  rule c    normalized name equal;
  rule d    alike over the automatic threshold, borne out, and no other is as like.
Rule 1: records unite only if nothing in the whole they would form contradicts: no two domains, no
        two countries, no wall between them. Where something does, all that the stage would have
        united there stays apart: there is no telling who belongs to which side.
Rule 2: what people called the same does not contradict itself any more.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from services.orgs.matching import meeting, statement, weights
from services.orgs.matching.decision import Rule
from services.orgs.matching.profile import Profile
from services.orgs.matching.statement import Ref, Statement

Crowded = Collection[meeting.Key]


@dataclass(frozen=True, slots=True)
class Link:
    """What united records."""

    rule: Rule
    refs: frozenset[Ref]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """The records of one organization. `lost` are those that people merged into others."""

    refs: frozenset[Ref]
    lost: frozenset[Ref] = frozenset()


@dataclass(frozen=True, slots=True)
class Partition:
    groups: Sequence[Together]
    links: Sequence[Link]


def partition(
    members: Mapping[Ref, Profile],
    said: Iterable[Statement] = (),
    crowded: Crowded = frozenset(),
) -> Partition:
    newest = statement.newest_first(said)
    forming = _Forming(members, statement.walls(newest))
    lost = forming.obey([each for each in newest if each.same])
    forming.join([Link(Rule.KEY_AND_EVIDENCE, refs) for refs in _met(members, meeting.borne_out)])
    forming.join([Link(Rule.EQUAL_NAME, refs) for refs in _met(members, _name)])
    forming.join(_alike(members, crowded))
    groups = [Together(refs, lost & refs) for refs in forming.groups()]
    return Partition(groups, forming.links)


@dataclass(frozen=True, slots=True)
class _Unit:
    refs: frozenset[Ref]
    domains: frozenset[str]
    countries: frozenset[str]
    walled: frozenset[Ref]
    """Its records that a wall names."""


@dataclass(slots=True)
class _Forming:
    """Units that grow; `home` names each record's."""

    members: Mapping[Ref, Profile]
    walls: Sequence[Statement]
    units: dict[Ref, _Unit] = field(init=False)
    home: dict[Ref, Ref] = field(init=False)
    links: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        named = frozenset().union(*(wall.refs for wall in self.walls))
        self.units = {
            ref: _Unit(frozenset((ref,)), _known(p.domain), _known(p.country), named & {ref})
            for ref, p in self.members.items()
        }
        self.home = {ref: ref for ref in self.members}

    def groups(self) -> list[frozenset[Ref]]:
        return [unit.refs for unit in self.units.values()]

    def obey(self, same: Iterable[Statement]) -> frozenset[Ref]:
        """Unite what people called the same; return the sides that lost."""
        lost: frozenset[Ref] = frozenset()
        for each in same:
            homes = {self.home[ref] for ref in each.refs if ref in self.home}
            if self._is_walled(homes):
                continue
            lost |= each.right - each.left
            if len(homes) > 1:
                refs = each.refs & self.members.keys()
                self._unite(homes, [Link(Rule.VERDICT, refs)])
        return lost

    def join(self, links: Sequence[Link]) -> None:
        """Unite by links of one stage, all or none of those that would form one whole."""
        sound = [link for link in links if self._is_sound(self._homes(link))]
        for homes, joining in _wholes([(self._homes(link), link) for link in sound]):
            if len(homes) == 1:
                self.links += joining
            elif self._is_sound(homes):
                self._unite(homes, joining)

    def _homes(self, link: Link) -> set[Ref]:
        return {self.home[ref] for ref in link.refs}

    def _unite(self, homes: Iterable[Ref], links: Iterable[Link]) -> None:
        units = [self.units.pop(home) for home in homes]
        whole = _Unit(
            frozenset().union(*(unit.refs for unit in units)),
            frozenset().union(*(unit.domains for unit in units)),
            frozenset().union(*(unit.countries for unit in units)),
            frozenset().union(*(unit.walled for unit in units)),
        )
        lead = min(whole.refs)
        self.units[lead] = whole
        self.home |= dict.fromkeys(whole.refs, lead)
        self.links += links

    def _is_sound(self, homes: Collection[Ref]) -> bool:
        if len(homes) == 1:
            return True
        units = [self.units[home] for home in homes]
        return (
            _agree(unit.domains for unit in units)
            and _agree(unit.countries for unit in units)
            and not self._is_walled(homes)
        )

    def _is_walled(self, homes: Collection[Ref]) -> bool:
        walled: frozenset[Ref] = frozenset().union(*(self.units[home].walled for home in homes))
        return any(walled & wall.left and walled & wall.right for wall in self.walls if walled)


def _known(fact: str | None) -> frozenset[str]:
    return frozenset() if fact is None else frozenset((fact,))


def _agree(facts: Iterable[frozenset[str]]) -> bool:
    """Whether any two that know something have it in common."""
    return all(a & b for a, b in combinations({known for known in facts if known}, 2))


def _name(found: Profile) -> tuple[Hashable, ...]:
    return (found.name.normalized,) if found.name.normalized else ()


def _met(
    members: Mapping[Ref, Profile], keys_of: Callable[[Profile], Iterable[Hashable]]
) -> list[frozenset[Ref]]:
    met: dict[Hashable, list[Ref]] = {}
    for ref, profile in members.items():
        for key in keys_of(profile):
            met.setdefault(key, []).append(ref)
    return [frozenset(refs) for refs in met.values() if len(refs) > 1]


def _wholes(
    links: Sequence[tuple[set[Ref], Link]],
) -> list[tuple[set[Ref], list[Link]]]:
    """What hangs together by the links, and by which."""
    wholes: list[tuple[set[Ref], list[Link]]] = []
    at: dict[Ref, int] = {}
    for homes, link in links:
        touched = {at[home] for home in homes if home in at}
        whole, joining = set(homes), [link]
        for index in touched:
            whole |= wholes[index][0]
            joining += wholes[index][1]
            wholes[index] = (set(), [])
        at |= dict.fromkeys(whole, len(wholes))
        wholes.append((whole, joining))
    return [each for each in wholes if each[0]]


def _alike(members: Mapping[Ref, Profile], crowded: Crowded) -> list[Link]:
    """Pairs of rule d. A third record as like to one of the two as the other is tears them apart,
    unless it is like both.
    """
    near = _near(members, crowded)
    return [
        Link(Rule.SCORE, frozenset((one, other)), score)
        for one, others in near.items()
        for other, score in others.items()
        if one < other
        and score >= weights.AUTOMATIC
        and not _is_torn(members, near, one, other)
        and not _is_torn(members, near, other, one)
    ]


def _near(members: Mapping[Ref, Profile], crowded: Crowded) -> Mapping[Ref, Mapping[Ref, float]]:
    near: dict[Ref, dict[Ref, float]] = {}
    for refs in _met(members, lambda found: set(meeting.crowds(found)) - set(crowded)):
        for one, other in combinations(refs, 2):
            if other not in near.get(one, ()):
                score = meeting.likeness(members[one], members[other])
                if score is not None:
                    near.setdefault(one, {})[other] = score
                    near.setdefault(other, {})[one] = score
    return near


def _is_torn(
    members: Mapping[Ref, Profile],
    near: Mapping[Ref, Mapping[Ref, float]],
    one: Ref,
    other: Ref,
) -> bool:
    least = near[one][other] - weights.CLOSE
    return any(
        score >= least and rival != other and not _stand_together(members, near, rival, other)
        for rival, score in near[one].items()
    )


def _stand_together(
    members: Mapping[Ref, Profile],
    near: Mapping[Ref, Mapping[Ref, float]],
    one: Ref,
    other: Ref,
) -> bool:
    if near[one].get(other, 0.0) >= weights.AUTOMATIC:
        return True
    names = members[one].name, members[other].name
    return names[0].normalized == names[1].normalized or (names[0].core, names[0].form) == (
        names[1].core,
        names[1].form,
    )
