"""Totals that change for many organizations at once: exact in the store, published together."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from services.orgs import summing, telling
from shared import db, topics
from shared.events import Action, parse
from shared.states import OrganizationState
from tests.support.orgs_facts import OURS, THEIRS, a_person, an_activity, an_org
from tests.support.orgs_judging import org_id
from tests.support.orgs_store import tell

pytestmark = pytest.mark.integration

MANY = 4
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def four_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summing, "MANY", MANY)


@pytest.fixture
async def pool(pool: db.Pool) -> db.Pool:
    """With organizations that consumers know."""
    await tell(pool, *(an_org(number, f"Firm {number}") for number in range(1, MANY + 1)))
    await taken(pool)
    return pool


async def taken(pool: db.Pool) -> dict[str, OrganizationState]:
    """What waits to be published, by id; it is not waiting any more."""
    rows = await pool.fetch("DELETE FROM outbox WHERE topic = $1 RETURNING payload", ORG_STATES)
    states = [parse(OrganizationState, row[0]) for row in rows]
    return {str(each.organization_id): each for each in states}


ORG_STATES = topics.ORG_STATES.name


async def told_after_all(pool: db.Pool) -> int:
    """In how many parts everything that is untold was told."""
    parts = 0
    while await telling.tell(pool, quiet_s=0) is not None:
        parts += 1
    return parts


async def nothing_waits(pool: db.Pool) -> bool:
    return not await pool.fetchval(
        "SELECT EXISTS (SELECT FROM untold) OR EXISTS (SELECT FROM untold_companies)"
    )


async def counts(pool: db.Pool, company_id: int = OURS) -> Counter[str]:
    found = await pool.fetch(
        "SELECT organization_id, contact_count FROM organizations WHERE company_id = $1",
        company_id,
    )
    return Counter({str(row[0]): row[1] for row in found})


async def hire(pool: db.Pool, *, first: int = 100, organizations: int = MANY) -> None:
    """Another contact in each."""
    numbers = range(1, organizations + 1)
    await tell(pool, *(a_person(first + number, number) for number in numbers))


ALL = {org_id(number) for number in range(1, MANY + 1)}


async def test_totals_of_many_are_stored_at_once_and_published_once(pool: db.Pool) -> None:
    await hire(pool, first=100)
    await hire(pool, first=200)
    stored, at_once = await counts(pool), await taken(pool)
    parts = await told_after_all(pool)
    later = await taken(pool)

    assert stored == dict.fromkeys(ALL, 2)
    assert at_once == {}
    assert parts == 1
    assert {each: state.contact_count for each, state in later.items()} == stored
    assert await nothing_waits(pool)


async def test_the_last_activity_of_many_is_published_with_them(pool: db.Pool) -> None:
    await tell(pool, *(an_activity(n, NOON, org_id=n) for n in range(1, MANY + 1)))
    at_once = await taken(pool)
    await told_after_all(pool)
    later = await taken(pool)

    assert at_once == {}
    assert {each: state.last_activity for each, state in later.items()} == dict.fromkeys(ALL, NOON)


async def test_totals_of_few_are_published_with_their_batch(pool: db.Pool) -> None:
    await hire(pool, organizations=MANY - 1)

    assert {state.contact_count for state in (await taken(pool)).values()} == {1}
    assert await nothing_waits(pool)


async def test_what_is_entered_is_published_with_its_batch(pool: db.Pool) -> None:
    await hire(pool)
    await tell(pool, an_org(1, "Renamed", version=2))
    renamed = await taken(pool)
    await tell(pool, an_org(2, None, version=2, action=Action.DELETE))
    deleted = await taken(pool)
    await told_after_all(pool)
    later = await taken(pool)

    assert {(s.name, s.contact_count) for s in renamed.values()} == {("Renamed", 1)}
    assert {(each, s.deleted) for each, s in deleted.items()} == {(org_id(2), True)}
    assert later.keys() == ALL
    assert later[org_id(1)] == renamed[org_id(1)]
    assert later[org_id(2)] == deleted[org_id(2)]


async def test_they_wait_until_no_more_come_but_not_for_ever(pool: db.Pool) -> None:
    await hire(pool)
    during = await telling.tell(pool, quiet_s=3600)
    for_long = await telling.tell(pool, quiet_s=3600, longest_s=0)

    assert (during, for_long) == (None, OURS)
    assert (await taken(pool)).keys() == ALL


async def test_during_an_import_those_that_wait_longest_are_told_first(
    pool: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "AT_ONCE", 1)
    told: list[str] = []
    for turn in range(1, 2 * MANY + 1):
        await hire(pool, first=100 * turn)
        await telling.tell(pool, quiet_s=3600, longest_s=0)
        told += await taken(pool)

    assert sorted(told) == sorted([*ALL, *ALL])
    assert set(told[:MANY]) == ALL


async def test_who_was_told_a_moment_ago_waits_again(pool: db.Pool) -> None:
    await hire(pool, first=100)
    await telling.tell(pool, quiet_s=3600, longest_s=0)
    await taken(pool)
    await hire(pool, first=200)

    assert await telling.tell(pool, quiet_s=3600, longest_s=60) is None


async def test_an_import_of_one_company_puts_off_no_other(pool: db.Pool) -> None:
    await tell(pool, an_org(1, "Firm", company_id=THEIRS))
    await taken(pool)
    hired = (a_person(number, number) for number in range(1, MANY + 1))
    await tell(pool, *hired, a_person(1, 1, company_id=THEIRS))

    assert {state.company_id for state in (await taken(pool)).values()} == {THEIRS}


async def test_companies_take_turns_and_large_ones_are_told_in_parts(
    pool: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "AT_ONCE", 3)
    numbers = range(1, MANY + 1)
    await tell(pool, *(an_org(n, f"Firm {n}", company_id=THEIRS) for n in numbers))
    await taken(pool)
    await hire(pool)
    await tell(pool, *(a_person(n, n, company_id=THEIRS) for n in numbers))

    order: list[int] = []
    last: int | None = None
    while (last := await telling.tell(pool, last, quiet_s=0)) is not None:
        order.append(last)

    assert order == [OURS, THEIRS, OURS, THEIRS]
    assert len(await taken(pool)) == 2 * MANY
    assert await nothing_waits(pool)


async def test_one_worker_of_a_store_tells(pool: db.Pool) -> None:
    await hire(pool)
    async with pool.acquire() as other, other.transaction():
        await telling.locks.try_hold(other, telling.TELLER_LOCK_SPACE, ["one of a store"])
        beside = await telling.tell(pool, quiet_s=0)

    assert beside is None
    assert await telling.tell(pool, quiet_s=0) == OURS
