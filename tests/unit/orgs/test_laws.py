"""Laws of organizations as a whole: what people say moves contacts, and never makes or loses any;
another tenant changes nothing.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.orgs import grouping
from services.orgs.grouping import FIELDS, Record
from services.orgs.matching.statement import Statement
from shared import ids
from shared.register import Register, Stamp

OURS, THEIRS = 7, 8
NAMES = ("Acme", "ACME!", "Acme GmbH", "The Acme", "Zyntalis Bio", "Zyntalys Bio", "…")
bodies = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(NAMES),
            "website": st.sampled_from((None, None, "acme.com", "acme.de")),
            "country": st.sampled_from((None, None, "DE", "FR")),
        }
    ),
    min_size=2,
    max_size=8,
)
APART = ("Alder", "Birch", "Cedar", "Dogwood", "Ebony", "Fir", "Ginkgo", "Hazel")
apart = st.permutations(APART).map(
    lambda names: [{"name": name, "website": None, "country": None} for name in names]
)
"""Eight that no rule unites: what people say of them is all that does."""
contacts = st.lists(st.integers(0, 5), min_size=8, max_size=8)
pairs = st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda pair: pair[0] != pair[1])


def by_rank(number: int) -> int:
    """Who is lower wins, so that merges go in no circle."""
    return number * 3 % 8


def loser(pair: tuple[int, int]) -> int:
    return max(pair, key=by_rank)


merges_in_any_order = st.lists(pairs, max_size=5, unique=True) | st.lists(
    pairs, min_size=2, max_size=5, unique_by=loser
)
sayings = st.lists(st.tuples(st.booleans(), pairs), max_size=5)


def records(told: Iterable[dict[str, Any]], company_id: int = OURS) -> list[Record]:
    found = []
    for number, fields in enumerate(told, 1):
        register = Register(Stamp(1, 1, "e"), False, dict.fromkeys(FIELDS) | fields, {})
        record_id = ids.organization(company_id, number)
        found.append(grouping.named(company_id, record_id, number, register))
    return found


def said(version: int, same: bool, pair: tuple[int, int], company_id: int = OURS) -> Statement:
    left, right = (frozenset({ids.organization(company_id, number)}) for number in pair)
    return Statement(version, "e", UUID(int=pair[0] * 100 + pair[1]), same, left, right)


def linked(
    block: Sequence[Record], people: Sequence[Statement], held: Sequence[int]
) -> dict[UUID, int]:
    """How many contacts each organization has, if each record has as many as are held."""
    groups = grouping.partitioned(block, {OURS: people})
    return {
        group.organization_id: sum(held[(r.pipedrive_org_id or 1) - 1] for r in group.records)
        for group in groups
    }


@settings(max_examples=150)
@given(bodies, contacts, sayings, pairs)
def test_the_sum_of_linked_contacts_is_conserved_by_merging_and_taking_it_back(
    told: list[Any], held: list[int], people: list[Any], merged: tuple[int, int]
) -> None:
    block = records(told)
    before = [said(version, *each) for version, each in enumerate(people)]
    total = sum(held[: len(block)])

    at_first = linked(block, before, held)
    during = linked(block, [*before, said(99, True, merged)], held)
    after = linked(block, before, held)

    assert sum(at_first.values()) == sum(during.values()) == total
    assert after == at_first


@settings(max_examples=150)
@given(bodies | apart, contacts, merges_in_any_order, st.randoms())
def test_the_order_in_which_people_merge_does_not_matter(
    told: list[Any], held: list[int], merges: list[tuple[int, int]], rng: Random
) -> None:
    """But for whose id stays, where one lost to several or the rules united more. Nobody wins, by
    others, over who won over it.
    """
    block = records(told)
    ranked = [sorted(pair, key=by_rank) for pair in merges if max(pair) <= len(told)]
    merges = [(winner, loser) for winner, loser in ranked]
    otherwise = merges.copy()
    rng.shuffle(otherwise)

    one = linked(block, [said(at, True, pair) for at, pair in enumerate(merges)], held)
    other = linked(block, [said(at, True, pair) for at, pair in enumerate(otherwise)], held)

    assert sorted(one.values()) == sorted(other.values())
    lost_once = len({loser for _, loser in merges}) == len(merges)
    if lost_once and len(linked(block, [], held)) == len(block) == len(one) + len(merges):
        assert one == other


@settings(max_examples=300)
@given(bodies, sayings, st.data())
def test_an_organization_that_wins_keeps_its_id(
    told: list[Any], people: list[Any], data: Any
) -> None:
    """A merge names of each side what the rules unite with one of its records: with who gives it
    its id, or who is asked about.
    """
    block = records(told)
    statements = [said(version, *each) for version, each in enumerate(people)]
    walls = [each for each in statements if not each.same]
    held = {g.organization_id: g.records for g in grouping.partitioned(block, {OURS: statements})}
    assume(len(held) > 1)
    sides = data.draw(st.permutations(sorted(held)))[:2]

    named = []
    for side in sides:
        found = grouping.partitioned(block, {OURS: walls})
        inside = {r.record_id for r in held[side]}
        one = data.draw(st.sampled_from(sorted(inside)))
        ruled = next(g.records for g in found if one in {r.record_id for r in g.records})
        called_apart = frozenset().union(*(wall.refs for wall in walls))
        named.append(frozenset(inside & ({r.record_id for r in ruled} | called_apart)))
    merge = Statement(99, "e", UUID(int=1), True, *named, keeper=sides[0])
    groups = grouping.partitioned(block, {OURS: [*statements, merge]})

    assert any(g.organization_id == sides[0] and len(g.records) > 1 for g in groups)


@settings(max_examples=150)
@given(bodies, sayings, pairs)
def test_the_winner_of_the_newest_merge_keeps_its_id_if_it_lost_to_nobody(
    told: list[Any], people: list[Any], merged: tuple[int, int]
) -> None:
    block = records(told)
    winner, _ = merged
    before = [each for each in people if not (each[0] and each[1][1] == winner)]

    statements = [said(version, *each) for version, each in enumerate(before)]
    groups = grouping.partitioned(block, {OURS: [*statements, said(99, True, merged)]})

    for group in groups:
        if any(record.pipedrive_org_id == winner for record in group.records):
            assert group.organization_id == ids.organization(OURS, winner)


@settings(max_examples=150)
@given(bodies, bodies, sayings, sayings)
def test_a_tenant_cannot_tell_that_another_is_there(
    ours: list[Any], theirs: list[Any], our_people: list[Any], their_people: list[Any]
) -> None:
    """The same names, numbers and domains in another tenant, and whatever is said there."""
    people = {
        OURS: [said(version, *each) for version, each in enumerate(our_people)],
        THEIRS: [said(version, *each, THEIRS) for version, each in enumerate(their_people)],
    }

    alone = grouping.partitioned(records(ours), {OURS: people[OURS]})
    together = grouping.partitioned([*records(theirs, THEIRS), *records(ours)], people)

    assert [group for group in together if group.company_id == OURS] == alone
    assert {r.company_id for g in together for r in g.records if g.company_id == THEIRS} == {
        THEIRS
    }
