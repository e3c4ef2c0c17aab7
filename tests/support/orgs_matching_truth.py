"""Which records are one organization, worked out slowly, for histories of a few known names.

Rule: nothing of the service's code is used but the normalized name. Of names it knows only those
in CORES; whether two of these are alike is said there, so no score is needed.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any
from uuid import UUID

from services.orgs import names

CORES = {
    "acme corp": "acme corporation",
    "acme corporation": "acme corporation",
    "beta": "beta",
    "béta": "beta",
    "gamma straße": "gamma",
    "gamma strasse": "gamma",
}
DOMAINS = {"https://www.acme.com/x": "acme.com", "acme.com": "acme.com", "beta.org": "beta.org"}
COUNTRIES = {"DE": "DE", "Germany": "DE", "FR": "FR"}

Row = Mapping[str, Any]
Whole = frozenset[Hashable]
"""Of records, and of what stands for those that are gone or were another."""
Wall = tuple[Any, Whole, Whole]
Merge = tuple[Whole, Whole, Whole]
"""Winners, losers, and who gave the winners' organization its id, if any."""
Said = tuple[Any, bool, Whole, Whole, Whole]
"""(when, same, left, right, who gave the left its id)."""


class Sorting:
    """Wholes that grow, from each record alone."""

    def __init__(
        self, records: Mapping[UUID, Row], walls: Sequence[Wall], gone: Iterable[UUID]
    ) -> None:
        self.records: Mapping[Any, Row] = records
        self.walls = walls
        self.wholes: set[Whole] = {frozenset((ref,)) for ref in (*records, *gone)}

    def touched(self, refs: Iterable[Hashable]) -> set[Whole]:
        return {whole for whole in self.wholes if whole & frozenset(refs)}

    def breaks_a_wall(self, refs: Whole) -> bool:
        return any(refs & left and refs & right for _, left, right in self.walls)

    def agrees(self, wholes: set[Whole]) -> bool:
        if len(wholes) == 1:
            return True
        for known in (domain, country):
            said = [
                {known(self.records[ref]) for ref in whole if ref in self.records} - {None}
                for whole in wholes
            ]
            one: set[Any] = next((facts for facts in said if facts), set())
            for _ in said:
                one = one.union(*(facts for facts in said if one & facts))
            if any(facts - one for facts in said):
                return False
        return not self.breaks_a_wall(frozenset().union(*wholes))

    def unite(self, wholes: set[Whole]) -> None:
        self.wholes = (self.wholes - wholes) | {frozenset().union(*wholes)}

    def stage(self, links: list[Whole]) -> None:
        parts = [touched for link in links if self.agrees(touched := self.touched(link))]
        together: list[set[Whole]] = []
        for part in parts:
            meeting = [one for one in together if one & part]
            together = [one for one in together if not one & part]
            together.append(part.union(*meeting))
        for wholes in together:
            if self.agrees(wholes):
                self.unite(wholes)


def sort(
    records: Mapping[UUID, Row],
    said: Iterable[Said],
    gone: Iterable[UUID],
) -> list[tuple[Whole, Whole, Whole]]:
    """Each organization's records, which of them may give it its id, and what of it is gone.
    `gone` are the records that live no more.
    """
    newest = sorted(said, key=lambda one: one[0], reverse=True)
    sorting = Sorting(records, standing(newest), gone)
    merges: list[Merge] = []
    later: list[Wall] = []
    for when, same, left, right, keeper in newest:
        if same:
            _merge(sorting, merges, (left, right, keeper), later)
        else:
            later.append((when, left, right))
    sorting.stage(_meeting(records, _borne_out))
    sorting.stage(_meeting(records, _named))
    sorting.stage(_alike(records))
    return [
        (living, _claiming(living, [m for m in merges if (m[0] | m[1]) & whole]), whole - living)
        for whole in sorting.wholes
        if (living := whole & frozenset(records))
    ]


def _merge(sorting: Sorting, merges: list[Merge], merge: Merge, later: Sequence[Wall]) -> None:
    """Unless it breaks a wall; who was called another than the others since does not come along,
    but what it was does.
    """
    was: dict[Hashable, Hashable] = {}
    for when, one, others in later:
        if all(side & (merge[0] | merge[1]) for side in (one, others)):
            if len(one) > 1:
                return
            was |= {ref: ("was", when) for ref in one if sorting.touched(one)}
    left, right, keeper = (frozenset(was.get(ref, ref) for ref in side) for side in merge)
    ghosts = [ghost for ghost in was.values() if not sorting.touched([ghost])]
    sorting.wholes |= {frozenset((ghost,)) for ghost in ghosts}
    touched = sorting.touched(left | right)
    if not sorting.breaks_a_wall(frozenset().union(*touched)):
        merges.append((left, right, keeper))
        if touched:
            sorting.unite(touched)


def _claiming(living: Whole, merges: Sequence[Merge]) -> Whole:
    """Winners of the newest merge that has one who lost to nobody, of those the winners of the
    next that has one of them, and so on; else all who did not lose, else all. Who gave the
    winners' organization its id is one, if it is here. Another who won over a record also won over
    all that were one with it by then.
    """
    won = [(left | keeper & living, right, left) for left, right, keeper in merges]
    above: set[tuple[Hashable, Hashable]] = set()
    lost: set[Hashable] = set()
    for left, right, named in won:
        beaten = right - left
        later = {a for a, b in above if b in beaten} - left - beaten
        above |= {(a, winner) for a in later for winner in left}
        chained = _chained(above)
        beaten -= {loser for loser in beaten if any((loser, each) in chained for each in left)}
        above |= {(winner, loser) for winner in left for loser in beaten}
        if named & living:
            lost |= beaten
    winners = [left & living - lost for left, right, _ in won if right and left & living - lost]
    if not winners:
        return living - lost or living
    while len(winners) > 1:
        first, second, *older = winners
        winners = [first & second or first, *older]
    return winners[0]


def _chained(above: set[tuple[Hashable, Hashable]]) -> set[tuple[Hashable, Hashable]]:
    """Who is above one that is above another is above that, too."""
    while more := {(a, d) for a, b in above for c, d in above if b == c} - above:
        above = above | more
    return above


def standing(said: Iterable[Said]) -> list[Wall]:
    """What keeps records apart: (when, left, right)."""
    newest = sorted(said, key=lambda one: one[0], reverse=True)
    return [
        (when, left, right)
        for number, (when, same, left, right, _) in enumerate(newest)
        if not same
        and not any(s and (a | b) & left and (a | b) & right for _, s, a, b, _ in newest[:number])
    ]


def contradict(one: Row, others: Iterable[Row]) -> bool:
    """Whether what one knows is other than what all of the others know."""
    for known in (domain, country):
        theirs = {known(other) for other in others} - {None}
        if known(one) and theirs and known(one) not in theirs:
            return True
    return False


def _meeting(records: Mapping[UUID, Row], keys: Any) -> list[Whole]:
    found: dict[Any, set[UUID]] = {}
    for ref, row in records.items():
        for key in keys(row):
            found.setdefault(key, set()).add(ref)
    return [frozenset(refs) for refs in found.values()]


def _named(row: Row) -> list[Any]:
    key = normalized(row)
    return [(key, None), (key, country(row))] if key else []


def _borne_out(row: Row) -> list[Any]:
    core = CORES.get(normalized(row))
    facts = [domain(row), (row["postcode"], row["city"])]
    keys = [(core, fact) for fact in facts if core and fact and all(fact)]
    return keys + [(key, country(row)) for key in keys if country(row)]


def _alike(records: Mapping[UUID, Row]) -> list[Whole]:
    return [
        frozenset((one, other))
        for one, other in combinations(records, 2)
        if _are_alike(records[one], records[other])
    ]


def _are_alike(one: Row, other: Row) -> bool:
    cores = {CORES.get(normalized(row)) for row in (one, other)}
    if len(cores) > 1 or None in cores:
        return False
    for known in (domain, country):
        if known(one) and known(other) and known(one) != known(other):
            return False
    same_postcode = one["postcode"] and one["postcode"] == other["postcode"]
    return bool(same_postcode or (domain(one) and domain(one) == domain(other)))


def normalized(row: Row) -> str:
    return names.normalized(row["name"])


def domain(row: Row) -> str | None:
    return DOMAINS.get(row["website"] or "")


def country(row: Row) -> str | None:
    return COUNTRIES.get(row["country"] or "")
