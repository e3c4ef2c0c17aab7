"""Contacts of a large organization, which follow it by parts."""

from collections import Counter

import pytest

from services.orgs import contact_store, relinking
from shared import db, ids, topics
from shared.events import Action, parse
from shared.states import ContactLink, OrganizationState
from tests.support.orgs_facts import OURS, THEIRS, a_person, an_org
from tests.support.orgs_judging import get, org_id, post
from tests.support.orgs_store import Client, tell
from tests.support.plans import plans

pytestmark = pytest.mark.integration

CONTACTS = 7


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_store, "AT_ONCE", 3)


@pytest.fixture
async def pool(pool: db.Pool) -> db.Pool:
    await tell(pool, an_org(1, "Alpha"), an_org(2, "Omega"), a_person(100, 2))
    await tell(pool, *(a_person(number, 1) for number in range(1, CONTACTS + 1)))
    return pool


async def where(pool: db.Pool, company_id: int = OURS) -> Counter[str | None]:
    """The contacts of each organization, each of which says the same."""
    rows = await pool.fetch(
        "SELECT organization_id FROM contacts WHERE company_id = $1", company_id
    )
    found = Counter(None if row[0] is None else str(row[0]) for row in rows)
    counts = await pool.fetch(
        "SELECT organization_id, contact_count FROM organizations WHERE company_id = $1",
        company_id,
    )
    assert {str(row[0]): row[1] for row in counts if row[1]} == {
        home: count for home, count in found.items() if home is not None
    }
    return found


async def follow(pool: db.Pool) -> int:
    """All that have yet to; in how many parts."""
    parts = 0
    while await relinking.relink(pool) is not None:
        parts += 1
    return parts


async def test_those_of_a_deleted_organization_leave_it_by_parts(pool: db.Pool) -> None:
    await tell(pool, an_org(1, None, version=2, action=Action.DELETE))
    at_once = await where(pool)
    parts = await follow(pool)

    assert at_once == {None: 3, org_id(1): CONTACTS - 3, org_id(2): 1}
    assert parts == 2
    assert await where(pool) == {None: CONTACTS, org_id(2): 1}
    told = await pool.fetch("SELECT topic, payload FROM outbox")
    links = [parse(ContactLink, each[1]) for each in told if each[0] == topics.CONTACT_LINKS.name]
    assert sorted(each.person_id for each in links if each.organization_id is None) == list(
        range(1, CONTACTS + 1)
    )
    gone = await published(pool, 1)
    assert (gone.deleted, gone.contact_count, gone.last_activity) == (True, 0, None)


async def test_those_of_a_merged_organization_go_along_by_parts_and_come_back(
    pool: db.Pool, client: Client
) -> None:
    _, merged = await post(client, "/merges", winnerId=org_id(2), loserId=org_id(1))
    at_once = await where(pool)
    await follow(pool)
    together = await where(pool)
    await post(client, f"/merges/{merged['data']['id']}/undo")
    await follow(pool)

    assert at_once == {org_id(1): CONTACTS - 3, org_id(2): 4}
    assert together == {org_id(2): CONTACTS + 1}
    assert await where(pool) == {org_id(1): CONTACTS, org_id(2): 1}


async def published(pool: db.Pool, number: int) -> OrganizationState:
    rows = await pool.fetch("SELECT payload FROM outbox WHERE topic = $1", topics.ORG_STATES.name)
    states = [parse(OrganizationState, row[0]) for row in rows]
    return next(each for each in states if each.organization_id == ids.organization(OURS, number))


async def test_an_organization_is_told_to_have_ended_once_its_contacts_have_left(
    pool: db.Pool, client: Client
) -> None:
    """They would show none until they have followed."""
    await post(client, "/merges", winnerId=org_id(2), loserId=org_id(1))
    at_once = await published(pool, 1)
    await follow(pool)
    after = await published(pool, 1)

    assert (at_once.deleted, at_once.merged_into) == (False, None)
    assert (at_once.name, at_once.contact_count) == ("Alpha", CONTACTS - 3)
    assert (after.deleted, after.merged_into) == (True, ids.organization(OURS, 2))
    assert (after.name, after.contact_count) == (None, 0)


async def test_those_that_are_on_their_way_go_where_their_record_is_by_then(
    pool: db.Pool, client: Client
) -> None:
    _, merged = await post(client, "/merges", winnerId=org_id(2), loserId=org_id(1))
    await relinking.relink(pool)
    await post(client, f"/merges/{merged['data']['id']}/undo")
    await tell(pool, a_person(1, 2, version=2), a_person(101, 1))
    await follow(pool)

    assert await where(pool) == {org_id(1): CONTACTS, org_id(2): 2}
    _, shown = await get(client, f"/{org_id(1)}")
    assert shown["data"]["contactCount"] == CONTACTS


async def test_companies_take_turns(pool: db.Pool) -> None:
    await tell(pool, an_org(1, "Alpha", company_id=THEIRS))
    await tell(pool, *(a_person(n, 1, company_id=THEIRS) for n in range(CONTACTS)))
    for company_id in (OURS, THEIRS):
        gone = {"version": 2, "action": Action.DELETE, "company_id": company_id}
        await tell(pool, an_org(1, None, **gone))

    first = await relinking.relink(pool)
    second = await relinking.relink(pool, first)
    third = await relinking.relink(pool, second)

    assert (first, second, third) == (OURS, THEIRS, OURS)


@pytest.mark.parametrize("known", ["nothing", "all"])
async def test_a_part_is_found_without_passing_those_that_have_followed(
    pool: db.Pool, known: str
) -> None:
    """Also where Postgres knows nothing of the rows yet."""
    await pool.execute(
        """INSERT INTO contacts (company_id, person_id, version, rank, event_id, deleted, org_id,
                                 organization_id)
           SELECT $1, n, 1, 0, 'e', false, 1, CASE WHEN n > 5000 THEN $2::uuid END
             FROM generate_series(1000, 6000) AS n""",
        OURS,
        ids.organization(OURS, 1),
    )
    if known == "all":
        await pool.execute("ANALYZE")
    homes = [contact_store.Home(OURS, 1, None)]

    (plan,) = await plans(pool, lambda conn: contact_store.relink(conn, homes, now_us=1))

    assert plan.through < 50
