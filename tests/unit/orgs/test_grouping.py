from random import Random
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.orgs import grouping
from services.orgs.grouping import FIELDS, Group, Record, Shown
from services.orgs.matching.statement import Statement
from shared import ids
from shared.register import Register, Stamp

COMPANY = 7


def a_record(
    number: int | None, *, version: int = 1, deleted: bool = False, **fields: Any
) -> Record:
    held = dict.fromkeys(FIELDS) | {"name": "Acme"} | fields
    record_id = (
        ids.made_organization(COMPANY, "acme")
        if number is None
        else ids.organization(COMPANY, number)
    )
    register = Register(Stamp(version, 1, "e"), deleted, held, {})
    return grouping.named(COMPANY, record_id, number, register)


def members(groups: list[Group]) -> set[tuple[UUID, frozenset[UUID]]]:
    return {(g.organization_id, frozenset(r.record_id for r in g.records)) for g in groups}


def test_records_of_one_normalized_name_are_one_organization_of_the_lowest_id() -> None:
    records = [a_record(10), a_record(9, name="ACME."), a_record(None)]

    (group,) = grouping.partitioned(records)

    assert group.organization_id == ids.organization(COMPANY, 9)
    assert len(group.records) == 3


def test_a_made_record_gives_its_id_only_while_there_is_no_other() -> None:
    made = a_record(None)

    (group,) = grouping.partitioned([made, a_record(3, deleted=True)])

    assert group.organization_id == made.record_id


def test_records_without_a_name_to_compare_stand_alone() -> None:
    assert len(grouping.partitioned([a_record(1, name="…"), a_record(2, name="…")])) == 2


def test_other_tenants_records_are_never_companions() -> None:
    theirs = grouping.named(8, ids.organization(8, 1), 1, a_record(1).register)

    assert len(grouping.partitioned([a_record(1), theirs])) == 2


def test_the_newest_record_that_has_a_field_shows_it() -> None:
    records = [
        a_record(1, version=5, name="Acme Inc", city="", website=None),
        a_record(2, version=4, name="ACME INC", city="Bern", website=None),
        a_record(3, version=3, city="Basel", website="acme.example"),
        a_record(4, version=4, city="Genf"),
    ]

    assert grouping.shown(records) == Shown(
        name="Acme Inc", pipedrive_org_id=1, city="Genf", website="acme.example"
    )


def test_the_name_is_the_newest_in_the_spelling_of_who_typed_it() -> None:
    typed = a_record(None, name="Acme")
    spelled = a_record(1, version=9, name="ACME")
    renamed = a_record(1, version=9, name="Omega")

    assert grouping.shown([typed, spelled]).name == "Acme"
    assert grouping.shown([typed, renamed]).name == "Omega"
    assert grouping.sources([typed, renamed])["name"] == renamed.record_id


def test_what_a_user_typed_counts_more_than_what_is_newer() -> None:
    records = [
        a_record(1, version=9, city="Basel", website="acme.com"),
        a_record(None, city="Bern"),
    ]

    shown = grouping.shown(records)

    assert (shown.city, shown.website) == ("Bern", "acme.com")
    assert grouping.sources(records)["city"] == records[1].record_id


def test_of_equally_new_records_the_one_that_says_most_counts() -> None:
    records = [a_record(9, city="Basel"), a_record(1, city="Bern", website="acme.com")]

    assert grouping.shown(records).city == "Bern"


def test_who_was_merged_into_another_gives_neither_id_nor_number() -> None:
    low, high = a_record(1, name="Alpha"), a_record(2, name="Omega")
    sides = (frozenset({high.record_id}), frozenset({low.record_id}))
    merge = Statement(1, "e", high.record_id, True, *sides)

    (group,) = grouping.partitioned([low, high], {COMPANY: [merge]})

    assert group.organization_id == high.record_id
    assert grouping.shown(group.records, group.organization_id).pipedrive_org_id == 2


def test_merges_into_a_record_hold_after_it_was_deleted() -> None:
    records = [a_record(1, name="A", deleted=True), a_record(2, name="B"), a_record(3, name="C")]
    won, *lost = (frozenset({record.record_id}) for record in records)
    merges = [
        Statement(at, "e", next(iter(loser)), True, won, loser) for at, loser in enumerate(lost)
    ]

    (group,) = grouping.partitioned(records, {COMPANY: merges})

    assert group.organization_id == ids.organization(COMPANY, 2)
    assert {record.pipedrive_org_id for record in group.records} == {2, 3}


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from("ab.")), unique_by=lambda p: p[0]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_a_block_does_not_matter(pairs: list[Any], rng: Random) -> None:
    records = [a_record(number, name=name, version=number % 4) for number, name in pairs]
    shuffled = records.copy()
    rng.shuffle(shuffled)

    before, after = grouping.partitioned(records), grouping.partitioned(shuffled)

    assert members(before) == members(after)
    assert {g.organization_id: grouping.shown(g.records) for g in before} == {
        g.organization_id: grouping.shown(g.records) for g in after
    }
