"""Which records are one organization: examples of each rule, and the laws that hold over all."""

from cProfile import Profile as Calls
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.orgs import folding
from services.orgs.judging.verdict_store import Verdict
from services.orgs.matching import meeting, partition, profile, statement
from services.orgs.matching.partition import Partition
from services.orgs.matching.profile import Profile, Stated
from services.orgs.matching.statement import Statement
from shared import register
from shared.register import Stamp, Write
from tests.support.orgs_histories import SPELLINGS, TELLING
from tests.support.orgs_matching_truth import sort

Ref = UUID


def ref(number: int) -> Ref:
    return UUID(int=number)


def a_member(number: int, name: str = "Acme", **stated: str | None) -> tuple[Ref, Profile]:
    return ref(number), profile.of(Stated(name, **stated), ref=ref(number).hex)


def said(same: bool, left: Any, right: Any, version: int = 1) -> Statement:
    sides = [frozenset(map(ref, side)) for side in (left, right)]
    number = hash((same, *map(tuple, map(sorted, sides)), version)) % 2**64
    return Statement(version, "e", UUID(int=number), same, *sides)


def numbers(found: Partition) -> set[frozenset[int]]:
    return {frozenset(each.int for each in group.refs) for group in found.groups}


def groups(
    *members: tuple[Ref, Profile],
    people: tuple[Statement, ...] = (),
    gone: frozenset[Ref] = frozenset(),
) -> set[Any]:
    return numbers(partition.partition(dict(members), people, gone=gone))


def test_equal_names_are_one_organization() -> None:
    found = groups(a_member(1, "Acme Corp."), a_member(2, "ACME corp"), a_member(3, "Acme"))

    assert found == {frozenset({1, 2}), frozenset({3})}


def test_names_without_a_key_match_nothing() -> None:
    assert groups(a_member(1, "…"), a_member(2, "…")) == {frozenset({1}), frozenset({2})}


def test_where_equal_names_contradict_who_has_no_evidence_stands_apart() -> None:
    found = groups(
        a_member(1, website="acme.de"),
        a_member(2, website="acme.fr"),
        a_member(3, website="www.acme.de"),
        a_member(4),
    )

    assert found == {frozenset({1, 3}), frozenset({2}), frozenset({4})}


def test_countries_contradict_as_domains_do() -> None:
    found = groups(a_member(1, country="Germany"), a_member(2, country="FR"), a_member(3))

    assert len(found) == 3


def test_where_countries_contradict_each_is_a_side_of_its_own() -> None:
    found = groups(
        a_member(1, country="DE"),
        a_member(2, country="FR"),
        a_member(3, country="Germany"),
        a_member(4),
        a_member(5, country="FR", website="acme.fr"),
        a_member(6, country="CH", website="acme.ch"),
        a_member(7, country="CH", website="acme.com"),
        a_member(8, country="CH"),
    )

    assert found == {
        frozenset({1, 3}),
        frozenset({2, 5}),
        *(frozenset({number}) for number in (4, 6, 7, 8)),
    }


def test_a_key_borne_out_by_a_domain_or_a_place_links_other_spellings() -> None:
    at = {"postcode": "10115", "city": "Berlin"}
    found = groups(
        a_member(1, "Müller Werkzeug GmbH", website="mueller.de"),
        a_member(2, "Muller-Werkzeug G.m.b.H.", website="https://mueller.de/kontakt"),
        a_member(3, "Nord Café AG", **at),
        a_member(4, "NORD CAFE A.G.", **at),
        a_member(5, "Nord Cafe GmbH", **at),
    )

    assert found == {frozenset({1, 2}), frozenset({3, 4}), frozenset({5})}


def test_alike_names_link_only_with_a_fact_beside_them() -> None:
    one, other = "Zyntalis Biotech GmbH", "Zyntalys Biotech GmbH"
    site = {"website": "zyntalis.com"}

    assert len(groups(a_member(1, one, **site), a_member(2, other, **site))) == 1
    assert len(groups(a_member(1, one, **site), a_member(2, other))) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zyntalis e.V. Berlin", "Zyntalis GmbH Berlin"),
        ("Zyntalis GmbH Berlin", "Zyntalis AG Berlin"),
        ("Zyntalis GmbH & Co. KG Berlin", "Zyntalis GmbH Berlin"),
        ("SCI Dupontel", "SARL Dupontel"),
        ("LLC Romashka", "JSC Romashka"),
        ("CV Maju Jaya", "PT Maju Jaya"),
        ("Blackwater Capital Fund XXI LP", "Blackwater Capital Fund XXII LP"),
    ],
)
def test_forms_and_numbers_keep_alike_names_of_one_domain_apart(one: str, other: str) -> None:
    site = {"website": "zyntalis.com"}

    assert len(groups(a_member(1, one, **site), a_member(2, other, **site))) == 2


def test_a_crowd_of_one_domain_bears_nothing_out() -> None:
    site = {"website": "zyntalis.com"}
    members = dict(
        [a_member(1, "Zyntalis Biotech", **site), a_member(2, "Zyntalys Biotech", **site)]
    )
    crowd = frozenset({("domain", "zyntalis.com")})

    assert len(partition.partition(members).groups) == 1
    assert len(partition.partition(members, (), crowd).groups) == 2


def test_no_contradiction_comes_in_by_a_third_record() -> None:
    """The first two agree, and so do the last two, but the three do not."""
    found = groups(
        a_member(1, "Acme", country="DE"),
        a_member(2, "Acme", website="acme.com"),
        a_member(3, "The Acme", website="acme.com", country="FR"),
    )

    assert found == {frozenset({2, 3}), frozenset({1})}


def test_what_people_called_the_same_is_one_whatever_it_says() -> None:
    members = (a_member(1, "Alpha", country="DE"), a_member(2, "Omega", country="FR"))

    assert len(groups(*members, people=(said(True, {1}, {2}),))) == 1


@pytest.mark.parametrize("fact", ["website", "country"])
@pytest.mark.parametrize("name", ["Acme", "Zeta"])
def test_what_people_called_the_same_takes_in_what_agrees_with_either_side(
    fact: str, name: str
) -> None:
    values = {"website": ("acme-x.com", "acme-y.com"), "country": ("DE", "FR")}[fact]
    one, other = ({fact: value} for value in values)
    members = (a_member(1, **one), a_member(2, name, **other))
    joining = (a_member(3, **one), a_member(4, name, **other), a_member(5))
    merged = said(True, {1}, {2})

    assert groups(*members, *joining, people=(merged,)) == {frozenset({1, 2, 3, 4, 5})}
    stranger = a_member(6, **{fact: {"website": "acme-z.com", "country": "CH"}[fact]})
    assert groups(*members, *joining[:2], stranger, people=(merged,)) == {
        frozenset({1, 2, 3, 4}),
        frozenset({6}),
    }


def test_what_people_called_distinct_keeps_third_records_from_joining_them() -> None:
    members = (a_member(1), a_member(2), a_member(3))

    assert len(groups(*members, people=(said(False, {1}, {2}),))) == 3


def test_same_and_same_do_not_outweigh_distinct() -> None:
    members = tuple(a_member(n, name) for n, name in enumerate("ABC", 1))
    people = (said(False, {1}, {3}, 1), said(True, {1}, {2}, 2), said(True, {2}, {3}, 3))

    assert groups(*members, people=people) == {frozenset({1}), frozenset({2, 3})}


def test_nothing_is_distinct_from_what_pipedrive_merged_it_into() -> None:
    """1 became 2: what was said of the two parts 2 from nobody, and 3 only from what 1 was not."""
    members = dict([a_member(2), a_member(3)])
    heirs = {ref(1): ref(2)}

    for right in ({2}, {2, 3}):
        people = statement.resolved([said(False, {1}, right)], heirs)
        assert numbers(partition.partition(members, people)) == {frozenset({2, 3})}

    parted = statement.resolved([said(False, {1, 4}, {2, 3})], heirs)
    assert [(each.left, each.right) for each in parted] == [({ref(4)}, {ref(3)})]


def test_the_newer_of_two_verdicts_about_the_same_records_holds() -> None:
    members = (a_member(1, "A"), a_member(2, "B"))
    merged, parted = said(True, {1}, {2}, 2), said(False, {1}, {2}, 1)
    later = said(False, {1}, {2}, 3)

    assert len(groups(*members, people=(merged, parted))) == 1
    assert len(groups(*members, people=(merged, parted, later))) == 2


def test_a_verdict_reaches_past_records_that_are_gone() -> None:
    found = groups(a_member(2, "B"), a_member(3, "C"), people=(said(True, {1, 2}, {3}),))

    assert found == {frozenset({2, 3})}


@pytest.mark.parametrize("first", [said(True, {1, 2}, {3}), said(True, {3}, {1, 2})])
def test_who_is_called_another_than_it_was_leaves_alone(first: Statement) -> None:
    """1 and 2 were of one name, and 3 was merged with them, before 2 became something else."""
    members = (a_member(1), a_member(2, "Quantum"), a_member(3, "Omega"))
    left = said(False, {2}, {1, 3}, 2)

    assert groups(*members, people=(first, left)) == {frozenset({1, 3}), frozenset({2})}
    again = said(True, {1, 3}, {2}, 3)
    assert groups(*members, people=(first, left, again)) == {frozenset({1, 2, 3})}


def test_who_is_called_another_leaves_together_what_was_one_through_it() -> None:
    members = (a_member(1, "Alpha"), a_member(2, "Quantum"), a_member(3, "Omega"))
    merges = (said(True, {1}, {2}, 1), said(True, {2}, {3}, 2))
    later = said(True, {2}, {4}, 4), a_member(4, "Delta")

    people = (*merges, said(False, {2}, {1, 3}, 3))
    assert groups(*members, people=people) == {frozenset({1, 3}), frozenset({2})}
    assert groups(*members, later[1], people=(*people, later[0])) == {
        frozenset({1, 3}),
        frozenset({2, 4}),
    }


def test_merges_into_one_that_is_gone_hold_among_the_others() -> None:
    members = (a_member(2, "B"), a_member(3, "C"), a_member(4, "D"))
    people = (said(True, {1}, {2}, 1), said(True, {1}, {3}, 2))
    apart = said(False, {1}, {4}, 3), said(True, {3}, {4}, 4)
    gone = frozenset({ref(1)})

    assert groups(*members, people=people, gone=gone) == {frozenset({2, 3}), frozenset({4})}
    assert len(groups(*members, people=(*people, *apart), gone=gone)) == 2
    assert len(groups(*members, people=people)) == 3
    links = partition.partition(dict(members), people, gone=gone).links
    assert [link.refs for link in links][-1] == {ref(2), ref(3)}


NAMES = ("Acme", "ACME!", "Acme GmbH", "The Acme", "Zyntalis Bio", "Zyntalys Bio", "…", "Ä")
facts = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "website": st.sampled_from((None, None, "acme.com", "acme.de")),
        "country": st.sampled_from((None, None, "DE", "FR")),
        "postcode": st.sampled_from((None, "10115")),
        "city": st.sampled_from((None, "Berlin")),
    }
)
verdict = st.tuples(
    st.booleans(),
    st.sets(st.integers(1, 9), min_size=1, max_size=3),
    st.sets(st.integers(1, 9), min_size=1, max_size=3),
).filter(lambda v: not v[1] & v[2])
verdicts = st.lists(verdict, max_size=4)
many_verdicts = st.lists(verdict, max_size=9)


def made(stated: list[dict[str, Any]]) -> list[tuple[Ref, Profile]]:
    return [a_member(number, **each) for number, each in enumerate(stated, 1)]


def told(people: list[Any]) -> list[Statement]:
    return [said(*verdict, version) for version, verdict in enumerate(people)]


@settings(max_examples=150)
@given(st.lists(facts, max_size=9), verdicts, st.randoms(use_true_random=False))
def test_the_order_of_records_and_verdicts_does_not_matter(
    stated: list[Any], people: list[Any], rng: Random
) -> None:
    members, statements = made(stated), told(people)
    expected = partition.partition(dict(members), statements)

    rng.shuffle(members)
    rng.shuffle(statements)

    assert numbers(partition.partition(dict(members), statements)) == numbers(expected)
    found = partition.partition(dict(members), statements)
    assert {(g.refs, g.claiming) for g in found.groups} == {
        (g.refs, g.claiming) for g in expected.groups
    }


@settings(max_examples=150)
@given(st.lists(facts, max_size=9), verdicts)
def test_every_record_is_in_one_organization(stated: list[Any], people: list[Any]) -> None:
    found = partition.partition(dict(made(stated)), told(people))

    assert sorted(each.int for g in found.groups for each in g.refs) == list(
        range(1, len(stated) + 1)
    )


@settings(max_examples=150)
@given(st.lists(facts, max_size=9), verdicts)
def test_no_organization_breaks_a_wall(stated: list[Any], people: list[Any]) -> None:
    statements = told(people)
    walls = statement.walls(statement.newest_first(statements))

    for group in partition.partition(dict(made(stated)), statements).groups:
        assert not any(group.refs & wall.left and group.refs & wall.right for wall in walls)


@settings(max_examples=150)
@given(st.lists(facts, max_size=9))
def test_without_people_no_organization_contradicts_itself(stated: list[Any]) -> None:
    members = dict(made(stated))

    for group in partition.partition(members).groups:
        inside = [members[each] for each in group.refs]
        assert len({each.domain for each in inside} - {None}) <= 1
        assert len({each.country for each in inside} - {None}) <= 1


@settings(max_examples=100)
@given(st.lists(facts, min_size=2, max_size=9), verdicts, st.data())
def test_merging_and_taking_it_back_is_the_identity(
    stated: list[Any], people: list[Any], data: Any
) -> None:
    """As the verdict's own row tells what it says, in whichever order its two bodies came."""
    members, statements = dict(made(stated)), told(people)
    left = data.draw(st.integers(1, len(stated) - 1))
    sides = {"left_records": [ref(left)], "right_records": [ref(left + 1)]}
    merging = Write(Stamp(99, 1, "e"), False, {"decision": "same", **sides})
    undoing = Write(Stamp(data.draw(st.integers(100, 101)), 2, "f"), False, {"withdrawn": True})

    def among(*writes: Write) -> set[frozenset[int]]:
        row = folding.folded(register.empty(folding.VERDICT_FIELDS), writes)
        merge = Verdict(1, UUID(int=99), row).statement
        return numbers(partition.partition(members, [*statements, *([merge] if merge else [])]))

    assert any({left, left + 1} <= group for group in among(merging))
    before = numbers(partition.partition(members, statements))
    assert among(merging, undoing) == among(undoing, merging) == before


@settings(max_examples=100)
@given(st.lists(facts, max_size=9), verdicts)
def test_records_that_share_no_key_do_not_change_each_others_organizations(
    stated: list[Any], people: list[Any]
) -> None:
    """What is partitioned together with others is partitioned as it is alone."""
    members = dict(made(stated))
    stranger = a_member(50, "Quite Another Thing", website="another.org")

    alone = numbers(partition.partition(members, told(people)))
    beside = numbers(partition.partition(members | dict([stranger]), told(people)))

    assert beside == alone | {frozenset({50})}


ROWS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(SPELLINGS),
        **{name: st.sampled_from(told) for name, told in TELLING.items()},
    }
)


@settings(max_examples=500)
@given(
    st.dictionaries(st.integers(1, 9), ROWS, max_size=9),
    many_verdicts,
    st.lists(st.none() | st.integers(1, 9), min_size=9, max_size=9),
)
def test_it_is_what_is_worked_out_slowly(
    stated: dict[int, Any], people: list[Any], keepers: list[int | None]
) -> None:
    """Of nine records one is not known at all, and those that are not stated are gone."""
    members = dict(a_member(number, **each) for number, each in stated.items())
    rows = {ref(number): each for number, each in stated.items()}
    gone = frozenset(ref(number) for number in range(1, 9) if number not in stated)
    kept = [keeper and ref(keeper) for keeper in keepers]
    statements = [s._replace(keeper=k) for s, k in zip(told(people), kept, strict=False)]

    found = partition.partition(members, statements, gone=gone)
    said = [(s[:3], *s[3:6], frozenset({s.keeper} - {None})) for s in statements]
    expected = sort(rows, said, gone)

    seen = {(group.refs, group.claiming, group.gone & gone) for group in found.groups}
    assert seen == {(*each[:2], each[2] & gone) for each in expected}


def test_many_answers_cost_each_what_it_costs_alone() -> None:
    """By the calls that are made: four times as many answers, about four times as many."""
    few, many = (calls_of(answered(count)) for count in (400, 1600))

    assert many < 6 * few


def answered(count: int) -> tuple[dict[Ref, Profile], list[Statement]]:
    """So many records and answers about two of them each, a tenth of them "the same"."""
    random = Random(count)  # noqa: S311  repeatable, not secret
    members = dict(a_member(number, f"Works {number % (count // 2)}") for number in range(count))
    pairs = [random.sample(range(count), 2) for _ in range(count)]
    return members, [said(n % 10 == 0, pair[:1], pair[1:], n) for n, pair in enumerate(pairs)]


def calls_of(task: tuple[dict[Ref, Profile], list[Statement]]) -> int:
    partition.partition(*task)  # what is kept for the next time
    calls = Calls()
    calls.runcall(partition.partition, *task)
    return sum(each.callcount for each in calls.getstats())


@given(facts, facts)
def test_likeness_is_symmetric(one: Any, other: Any) -> None:
    left, right = a_member(1, **one)[1], a_member(2, **other)[1]

    assert meeting.likeness(left, right) == meeting.likeness(right, left)
