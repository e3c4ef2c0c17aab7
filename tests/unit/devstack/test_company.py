"""The invented company: the same for the same seed, in order, with everything that can happen."""

import itertools
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from devstack.pipedrive import names
from devstack.pipedrive.company import EVENTFUL, Company
from devstack.pipedrive.world import POOL_SIZE, Pool, Sizes

EPOCH = datetime(2026, 6, 1, 12, tzinfo=UTC)
SIZES = Sizes(users=3, contacts=40, organizations=40)


def a_company(seed=1, sizes=SIZES, weights=EVENTFUL):
    return Company(seed, sizes, EPOCH, weights)


def a_clock(number):
    return EPOCH + timedelta(seconds=number)


def whole_life(company, live=300):
    return [*company.history(), *itertools.islice(company.live(a_clock), live)]


def test_the_same_seed_gives_the_same_life():
    assert whole_life(a_company(5)) == whole_life(a_company(5))


def test_another_seed_gives_another_life():
    assert whole_life(a_company(5)) != whole_life(a_company(6))


def test_changes_are_numbered_and_in_order_a_millisecond_apart():
    life = whole_life(a_company())

    assert [one.number for one in life] == list(range(1, len(life) + 1))
    assert all(b.at - a.at >= timedelta(milliseconds=1) for a, b in itertools.pairwise(life))


def test_the_history_ends_at_the_epoch():
    last = list(a_company().history())[-1]

    assert EPOCH - timedelta(days=10) < last.at <= EPOCH


def test_every_change_starts_from_the_state_that_the_last_one_left():
    states = {}
    for one in whole_life(a_company()):
        key = (one.entity, one.entity_id)
        before = states.get(key)
        if one.entity == "note" or before is None or one.previous is None:
            assert one.previous is None or before is None
        else:
            # A link may have been led to a merge's survivor without an event of its own.
            links = {"org_id", "person_id", "organization_id"}
            assert without(one.previous, links) == without(before, links)
        states[key] = one.state or before


def without(state, keys):
    return {key: value for key, value in state.items() if key not in keys}


def test_each_user_owns_the_contacts_asked_for():
    first = {}
    for one in a_company(weights={quiet: 1}).history():
        if one.entity == "person":
            first.setdefault(one.entity_id, one.state["owner_id"])

    assert Counter(first.values()) == {1001: 40, 1002: 40, 1003: 40}


def quiet(_world):
    return iter(())


def test_everything_rare_happens_in_an_eventful_life():
    life = whole_life(a_company(), live=1500)
    seen = Counter((one.entity, one.action) for one in life)
    merged = Counter(one.entity for one in life if one.merged_from)

    for entity in ("person", "organization", "deal", "activity", "lead"):
        assert all(seen[entity, action] for action in ("create", "change", "delete")), entity
    assert merged["person"] > 5
    assert merged["organization"] > 5
    assert seen["user", "change"]
    assert seen["note", "create"]


def test_a_merge_is_a_delete_of_the_loser_and_a_change_of_the_survivor():
    life = whole_life(a_company())
    losses = {(one.entity, one.entity_id): one.merged_to for one in life if one.merged_to}
    wins = {(one.entity, one.merged_from): one.entity_id for one in life if one.merged_from}

    assert losses
    assert losses == wins


def test_a_share_of_the_organizations_are_duplicates_under_the_basic_rule():
    company = Company(1, Sizes(contacts=100), EPOCH, {quiet: 1})
    named = [one.state["name"] for one in company.history() if one.entity == "organization"]
    groups = Counter(names.basic(name) for name in named)

    assert len(named) == 200
    assert 20 < len(named) - len(groups) < 80
    assert any(not name.isascii() for name in named)


def test_firms_never_share_a_name_or_a_domain():
    firms = [names.firm(number) for number in range(3000)]

    assert len({names.basic(names.official(one)) for one in firms}) == 3000
    assert len({one.domain for one in firms}) == 3000


def test_records_of_one_name_never_contradict_each_other():
    company = a_company()
    records = {}
    for one in whole_life(company, live=1500):
        if one.entity == "organization" and one.state:
            records[one.entity_id] = one.state
    domains, countries = defaultdict(set), defaultdict(set)
    for one in records.values():
        domains[names.basic(one["name"])] |= {one["website"]} - {None}
        countries[names.basic(one["name"])] |= {(one["address"] or {}).get("country")} - {None}

    assert max(len(found) for found in domains.values()) == 1
    assert max(len(found) for found in countries.values()) == 1


@pytest.mark.parametrize("contacts", [30, 4000])
def test_a_company_of_any_size_starts_at_once(contacts):
    company = Company(1, Sizes(1, contacts, 20), EPOCH)

    assert len(list(itertools.islice(company.history(), 100))) == 100


def test_memory_stays_flat_when_the_company_is_large():
    company = Company(1, Sizes(1, 500_000, 20_000), EPOCH, EVENTFUL)
    for _ in itertools.islice(company.history(), 20_000):
        pass
    world = company.world

    assert world.people > 2_000
    assert all(number % 25 == 0 or number == 1 for number in world.altered)
    assert len(world.activities) <= POOL_SIZE


def test_a_full_pool_lets_a_newcomer_take_a_place():
    pool = Pool(3, Random(1))  # noqa: S311 - repeatable
    for number in range(10):
        pool.put({"id": number})
        pool.put({"id": number, "seen": True})

    assert len(pool) == 3
    assert pool.draw()["seen"]
    pool.drop(9)
    pool.drop(9)
    assert len(pool) == 2
