"""Facts become rows."""

import pytest

from services.query import batch, contact
from services.query.contact import UNKNOWN, Key
from shared import events, topics
from shared.errors import Poison
from shared.kafka.consumer import Received
from shared.tenants import CustomFields
from tests.support import query_facts as facts
from tests.support.query_facts import COMPANY

POINT = events.ContactPoint


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (None, None),
        ((), None),
        ((POINT(value="", primary=True),), None),
        ((POINT(value="a"), POINT(value="b", primary=True)), "b"),
        ((POINT(value=" "), POINT(value="b")), "b"),
        ((POINT(value="", primary=True), POINT(value="b")), "b"),
    ],
)
def test_the_primary_entry_is_the_one_marked_else_the_first_with_text(
    points: tuple[events.ContactPoint, ...] | None, expected: str | None
) -> None:
    assert contact.primary(points) == expected


def after(*told: Received, custom: CustomFields | None = None) -> dict[Key, contact.Contact]:
    return batch.contacts_after(batch.sort(told, lambda _: custom or CustomFields()), {})


def test_a_custom_field_named_in_the_settings_is_a_job_title() -> None:
    told = facts.person(1, custom_fields={"abc": "Captain", "def": 5})

    (row,) = after(told, custom=CustomFields(job_title="abc")).values()

    assert row.person.fields["custom_job_title"] == "Captain"
    assert row.person.fields["job_title"] is None


def test_a_survivors_change_alone_removes_the_one_merged_into_it() -> None:
    survivor = facts.changed(topics.PERSONS, 2, 5, data={"owner_id": 7}, merged_from="1")

    rows = after(facts.person(1, 1), survivor)

    assert rows[Key(COMPANY, 1)].owner is None
    assert rows[Key(COMPANY, 1)].merged_into == 2
    assert rows[Key(COMPANY, 2)].owner == 7


def test_older_links_scores_and_campaigns_change_nothing() -> None:
    told = [
        facts.link(1, 5, 2),
        facts.link(1, 6, 1),
        facts.score(1, 9, 2),
        facts.score(1, 3, 1),
        facts.campaign(1, 2, added=True),
        facts.campaign(1, 1, added=False),
    ]

    (row,) = after(*told).values()

    assert row.link.organization_id == facts.organization_id(5)
    assert row.score.score == 9
    assert row.campaign.added
    assert row.owner is None


def test_a_contact_known_by_its_score_alone_is_on_no_list() -> None:
    rows = after(facts.score(1, 9))

    moves = batch.moves({}, rows)

    assert moves.counts == {}
    assert rows[Key(COMPANY, 1)].person == UNKNOWN.person


@pytest.mark.parametrize("into", ["x", "-1", str(2**63)])
def test_an_id_that_is_no_number_is_poison(into: str) -> None:
    told = facts.changed(topics.PERSONS, 1, 1, data=None, merged_into=into)

    with pytest.raises(Poison):
        batch.sort([told], lambda _: CustomFields())


def test_a_chain_that_bites_its_tail_ends() -> None:
    rows = after(facts.merged(1, 2, 1), facts.merged(2, 3, 1), facts.merged(3, 1, 1))

    chain = list(batch.shown_as(rows, Key(COMPANY, 1)))

    assert chain == [Key(COMPANY, 1), Key(COMPANY, 2), Key(COMPANY, 3)]
