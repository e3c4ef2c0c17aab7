"""Histories for tests hold everything that can go wrong, and their order can be lost safely."""

from collections import Counter

import pytest

from tests.support.histories import (
    COMPANY_ID,
    end_of,
    history,
    shuffled_with_duplicates,
    tenant,
)
from tests.support.model import comparable, expected_pages


def pages(bodies, now):
    return expected_pages(bodies, company_id=COMPANY_ID, now=now, tenant=tenant())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order_with_duplicates_gives_the_same_pages(seed):
    pairs = history(seed, events=1500)
    bodies = [body for _change, body in pairs]
    now = end_of(pairs)

    mixed = shuffled_with_duplicates(bodies, seed)

    assert len(mixed) > len(bodies)
    assert mixed != bodies
    assert pages(mixed, now) == pages(bodies, now)


def test_a_history_is_the_same_for_the_same_seed():
    assert history(4, events=300) == history(4, events=300)


@pytest.mark.parametrize("events", [1, 50, 2000])
def test_a_history_has_as_many_events_as_asked_for(events):
    assert len(history(1, events)) == events


def test_both_versions_merges_and_ties_occur():
    bodies = [body for _change, body in history(1, events=2000)]
    versions = Counter("v1" if "v" in body else "v2" for body in bodies)
    v1_merges = [body for body in bodies if body.get("event") == "merged.person"]
    v2_merges = [body for body in bodies if "merged_from_id" in body["meta"]]
    stamps = Counter(
        (body["meta"]["entity"], body["meta"]["entity_id"], body["meta"]["timestamp"])
        for body in bodies
        if "v" not in body
    )

    assert versions["v1"] > 200
    assert versions["v2"] > 200
    assert v1_merges
    assert v2_merges
    assert max(stamps.values()) > 1


def test_the_pages_of_a_history_are_worth_comparing():
    pairs = history(1, events=2000)
    found = pages([body for _change, body in pairs], end_of(pairs))
    contacts = [comparable(one) for page in found.values() for one in page]
    orgs = [one["organization"] for one in contacts if one["organization"]]

    assert len(found) == 3
    assert len(contacts) > 100
    assert len({one["warmnessScore"] for one in contacts}) > 6
    assert any(len(one["activities"]) == 5 for one in contacts)
    assert any(one["lastContacted"] for one in contacts)
    assert any(one["contactCount"] > 1 for one in orgs)
    assert any(one["lastActivity"] and one["website"] and one["city"] for one in orgs)


def test_the_model_shows_the_people_that_the_company_has_with_their_owners_and_names():
    pairs = history(2, events=2000)
    last = {}
    for change, _body in pairs:
        if change.entity == "person":
            last[str(change.entity_id)] = change.state
    truth = {(str(state["owner_id"]), key, state["name"]) for key, state in last.items() if state}

    found = pages([body for _change, body in pairs], end_of(pairs))

    assert truth == {
        (owner, one["pipedrivePersonId"], one["name"])
        for owner, page in found.items()
        for one in page
    }
