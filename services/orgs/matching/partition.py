"""Which records are one organization: for a whole block, whatever the order of arrival. Pure.

In this order, each stage building on the previous ones:
  verdicts  people's "same", newest first, unless it breaks a wall ("distinct");
  rule b    core key and legal form equal, corroborated by a domain, or a postcode with its city;
  rule c    normalized name equal, with and without the country;
  rule d    score over the automatic threshold, corroborated, and no other is as similar.
Rule 1: records unite only if nothing in the resulting whole contradicts: no two domains, no two
        countries, no wall between them. Where something does, all that the stage would have united
        there stays apart, since it is unknown who belongs to which side.
Rule 2: records that people called the same no longer contradict each other: of the domains or
        countries that meet there, each counts for the whole.
Rule 3: records called the same stay so even if linked through one that is gone, or has become
        another: a placeholder without facts stands for it, which walls separate like the record.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.orgs.matching import alike, claiming, meeting, statement
from services.orgs.matching.decision import Rule
from services.orgs.matching.profile import Profile
from services.orgs.matching.statement import Ref, Statement

NOBODY: Final[frozenset[Ref]] = frozenset()


@dataclass(frozen=True, slots=True)
class Link:
    """What united records."""

    rule: Rule
    refs: frozenset[Ref]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """The records of one organization, those that may give it its id, and its dead ones."""

    refs: frozenset[Ref]
    claiming: frozenset[Ref]
    gone: frozenset[Ref] = frozenset()


@dataclass(frozen=True, slots=True)
class Partition:
    groups: Sequence[Together]
    links: Sequence[Link]


def partition(
    members: Mapping[Ref, Profile],
    said: Iterable[Statement] = (),
    crowded: Collection[meeting.Key] = frozenset(),
    gone: frozenset[Ref] = frozenset(),
) -> Partition:
    """`gone` are records that no longer live."""
    newest = statement.newest_first(said)
    was = frozenset(each.verdict_id for each in newest if not each.same)
    walls = statement.by_ref(statement.walls(newest))
    forming = _Forming(members, walls, gone | was)
    forming.obey(statement.merges(newest, members.keys() | gone))
    borne_out = meeting.met(members, meeting.borne_out)
    forming.join([Link(Rule.KEY_AND_EVIDENCE, refs) for refs in borne_out])
    forming.join([Link(Rule.EQUAL_NAME, refs) for refs in meeting.met(members, _name)])
    near = alike.pairs(members, crowded)
    forming.join([Link(Rule.SCORE, pair, likeness) for pair, likeness in near])
    return Partition(forming.groups(), forming.links)


@dataclass(frozen=True, slots=True)
class _Unit:
    refs: frozenset[Ref]
    domains: frozenset[str]
    countries: frozenset[str]
    walled: frozenset[Ref]
    """Its records that a wall names."""


@dataclass(slots=True)
class _Forming:
    """Units that grow; `home` maps each record to its unit, also placeholders for what is `gone`.
    `walls` are by the records they name, `obeyed` the merges that hold, newest first.
    """

    members: Mapping[Ref, Profile]
    walls: Mapping[Ref, Sequence[Statement]]
    gone: frozenset[Ref]
    units: dict[Ref, _Unit] = field(init=False)
    home: dict[Ref, Ref] = field(init=False)
    links: list[Link] = field(default_factory=list)
    obeyed: list[Statement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.units = {
            ref: self._alone(ref, _known(found.domain), _known(found.country))
            for ref, found in self.members.items()
        }
        self.home = {ref: ref for ref in self.members}

    def _alone(self, ref: Ref, domains: frozenset[str], countries: frozenset[str]) -> _Unit:
        own = frozenset((ref,))
        return _Unit(own, domains, countries, own if ref in self.walls else NOBODY)

    def groups(self) -> list[Together]:
        merges: dict[Ref, list[Statement]] = {}
        for each in self.obeyed:
            merges.setdefault(self.home[min(each.refs & self.home.keys())], []).append(each)
        found: list[Together] = []
        some_stand_in = len(self.home) > len(self.members)
        for home, unit in self.units.items():
            refs = self._living(unit.refs) if some_stand_in else unit.refs
            if refs:
                claim = claiming.among(refs, merges.get(home, ()))
                found.append(Together(refs, claim, unit.refs - refs))
        return found

    def obey(self, same: Sequence[Statement]) -> None:
        """Unite what people called the same."""
        for ref in {ref for each in same for ref in each.refs & self.gone}:
            self.units[ref] = self._alone(ref, frozenset(), frozenset())
            self.home[ref] = ref
        for each in same:
            homes = {self.home[ref] for ref in each.refs if ref in self.home}
            if not homes or self._is_walled(homes):
                continue
            self.obeyed.append(each)
            if len(homes) > 1:
                named = self._living(each.refs)
                whole = self._unite(homes, ())
                refs = named if len(named) > 1 else self._living(whole)
                self.links.append(Link(Rule.VERDICT, refs))

    def _living(self, refs: frozenset[Ref]) -> frozenset[Ref]:
        return frozenset(ref for ref in refs if ref in self.members)

    def join(self, links: Sequence[Link]) -> None:
        """Unite by links of one stage: all or none of those that would form one whole."""
        sound = [link for link in links if self._is_sound(self._homes(link))]
        for homes, joining in _wholes([(self._homes(link), link) for link in sound]):
            if len(homes) == 1:
                self.links += joining
            elif self._is_sound(homes):
                self._unite(homes, joining)

    def _homes(self, link: Link) -> set[Ref]:
        return {self.home[ref] for ref in link.refs}

    def _unite(self, homes: Iterable[Ref], links: Iterable[Link]) -> frozenset[Ref]:
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
        return whole.refs

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
        walled = NOBODY.union(*(self.units[home].walled for home in homes))
        return any(
            not (walled.isdisjoint(wall.left) or walled.isdisjoint(wall.right))
            for wall in statement.naming(walled, self.walls)
        )


def _known(fact: str | None) -> frozenset[str]:
    return frozenset() if fact is None else frozenset((fact,))


def _agree(facts: Iterable[frozenset[str]]) -> bool:
    """Whether all that know the fact agree, possibly through one that knows several values."""
    apart = {known for known in facts if known}
    if not apart:
        return True
    whole = set(apart.pop())
    while met := [known for known in apart if not whole.isdisjoint(known)]:
        whole.update(*met)
        apart.difference_update(met)
    return not apart


def _name(found: Profile) -> tuple[Hashable, ...]:
    """Where a name's countries contradict one another, each may still be a separate side."""
    name = found.name.normalized
    if not name:
        return ()
    return (name, (name, found.country)) if found.country else (name,)


def _wholes(
    links: Sequence[tuple[set[Ref], Link]],
) -> list[tuple[set[Ref], list[Link]]]:
    """The connected components of the links, each with its links."""
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
