"""Pages: their order, filters, walls, bounded statements, and the index they are read from."""

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from services.query import reading, store
from services.query.batch import User
from services.query.contact import SECOND
from services.query.request import ListQuery, OrganizationsQuery
from shared import db, ids
from tests.support import query_facts as facts
from tests.support.query_facts import COMPANY, START, data_of, project, read_model

pytestmark = pytest.mark.integration

ME = User(COMPANY, 7)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with read_model(database_url) as pool:
        yield pool


async def page(pool: db.Pool, user: User = ME, **asked: Any) -> dict[str, Any]:
    request = ListQuery.model_validate({k: str(v) for k, v in asked.items()}).request()
    async with reading.snapshot(pool) as conn:
        read = await reading.my_500(conn, user, request)
    found: dict[str, Any] = data_of(read)
    return found


def crowd(seed: int, count: int) -> list[Any]:
    """Contacts with many ties in every part of the order."""
    random = Random(seed)  # noqa: S311  repeatable, not secret
    found: list[Any] = []
    for number in range(count):
        when = START + timedelta(days=random.randrange(3))
        contacted = random.choice([None, START, START + timedelta(days=1)])
        found.append(facts.person(number, add_time=when, owner_id=random.choice([7, 7, 7, 8])))
        found.append(facts.score(number, random.choice([0, 3, 4, 7, 10]), contacted=contacted))
        found.append(facts.campaign(number, 1, random.random() < 0.3))
        found.append(facts.link(number, random.choice([None, 1, 2])))
    return [*found, facts.organization(1), facts.organization(2)]


def place(contact: dict[str, Any]) -> tuple[Any, ...]:
    created = contact["createdAt"]
    return (
        not contact["addedToCampaign"],
        contact["warmnessScore"],
        contact["lastContacted"] or "9999",
        [-ord(letter) for letter in created],
        contact["id"],
    )


FILTERS: list[dict[str, Any]] = [
    {},
    {"inCampaign": "true"},
    {"inCampaign": "false"},
    {"warmness": "0-3"},
    {"warmness": "4-6"},
    {"warmness": "7-10"},
    {"organizationId": facts.organization_id(1)},
    {"organizationId": facts.organization_id(2), "warmness": "7-10", "inCampaign": "false"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_pages_by_cursor_and_by_number_are_the_whole_list_in_order(
    pool: db.Pool, filters: dict[str, Any]
) -> None:
    await project(pool, crowd(3, 300))
    whole = await page(pool, limit=500, **filters)
    everyone = whole["contacts"]

    read = await page(pool, limit=7, **filters)
    by_cursor = read["contacts"]
    while read["pagination"]["hasNext"]:
        read = await page(pool, limit=7, cursor=read["pagination"]["nextCursor"], **filters)
        by_cursor += read["contacts"]
    by_number = []
    for number in range(1, whole["pagination"]["total"] // 7 + 2):
        by_number += (await page(pool, page=number, limit=7, **filters))["contacts"]

    assert everyone == sorted(everyone, key=place)
    assert whole["pagination"]["total"] == len(everyone) > 5
    assert by_cursor == everyone
    assert by_number == everyone


async def test_contacts_that_tell_no_time_come_by_the_second_that_they_show(pool: db.Pool) -> None:
    versions = [2_000_000_000 + moment for moment in (7, 999_999, 1, 500_000, 1_000_000, 3)]
    untold = {"add_time": None, "update_time": None}
    await project(pool, [facts.person(n, v, **untold) for n, v in enumerate(versions)])

    contacts = (await page(pool))["contacts"]

    assert contacts == sorted(contacts, key=place)
    assert len({each["createdAt"] for each in contacts}) == 2


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_filters_leave_just_what_passes_them(pool: db.Pool, filters: dict[str, Any]) -> None:
    await project(pool, crowd(4, 300))
    everyone = (await page(pool, limit=500))["contacts"]
    low, high = map(int, filters.get("warmness", "0-10").split("-"))

    expected = [
        contact
        for contact in everyone
        if low <= contact["warmnessScore"] <= high
        and filters.get("inCampaign") in (None, str(contact["addedToCampaign"]).lower())
        and str(filters.get("organizationId", contact["organizationId"]))
        == str(contact["organizationId"])
    ]

    assert (await page(pool, limit=500, **filters))["contacts"] == expected


async def test_a_contact_says_all_that_the_contract_names(pool: db.Pool) -> None:
    await project(
        pool,
        [
            facts.person(
                1,
                1_700_000_000_000_000,
                name="Ada",
                emails=[{"value": ""}, {"value": "ada@example.com"}],
                phones=[{"value": "1"}, {"value": "2", "primary": True}],
                update_time=START + timedelta(hours=1),
            ),
            facts.link(1, 1),
            facts.organization(1, pipedrive_org_id="1", size="50", contact_count=12),
            facts.score(1, 7, contacted=START),
            facts.activity(42, person_id=1, due_date="2026-01-02"),
            facts.status(5, "idle"),
        ],
    )

    read = await page(pool)

    assert read == {
        "contacts": [
            {
                "id": facts.contact_id(1),
                "pipedrivePersonId": "1",
                "name": "Ada",
                "email": "ada@example.com",
                "phone": "2",
                "jobTitle": None,
                "warmnessScore": 7,
                "lastContacted": "2026-03-01T00:00:00Z",
                "addedToCampaign": False,
                "organizationId": str(facts.organization_id(1)),
                "organization": {
                    "id": str(facts.organization_id(1)),
                    "name": "Organization 1",
                    "pipedriveOrgId": "1",
                    "industry": None,
                    "size": "50",
                    "website": None,
                    "address": None,
                    "country": None,
                    "city": None,
                    "contactCount": 12,
                    "lastActivity": None,
                },
                "activities": [
                    {
                        "id": "42",
                        "type": "call",
                        "subject": "Call 42",
                        "done": True,
                        "dueDate": "2026-01-02",
                        "createdAt": "2026-03-01T00:00:00Z",
                    }
                ],
                "lastPipedriveUpdate": "2026-03-01T01:00:00Z",
                "createdAt": "2026-03-01T00:00:00Z",
                "updatedAt": "2023-11-14T22:13:20Z",
            }
        ],
        "pagination": {
            "page": 1,
            "limit": 20,
            "total": 1,
            "totalPages": 1,
            "hasNext": False,
            "hasPrev": False,
            "nextCursor": None,
        },
        "syncStatus": {"state": "idle", "lastSyncAt": None, "processed": 5, "failed": 0},
    }


@pytest.mark.parametrize(
    "newest",
    [
        facts.person(1, 9 * SECOND, name="Ada"),
        facts.link(1, 1, 9 * SECOND),
        facts.score(1, 7, 9 * SECOND),
        facts.campaign(1, 9 * SECOND, added=True),
    ],
    ids=lambda told: told.topic,
)
async def test_a_contact_was_updated_when_the_newest_of_its_facts_was_said(
    pool: db.Pool, newest: Any
) -> None:
    s = SECOND
    told = [facts.person(1, s), facts.link(1, 2, 2 * s), facts.score(1, 3, 3 * s)]
    later = [
        facts.activity(5, 20 * s, person_id=1),
        facts.organization(1, 30 * s),
        facts.score(1, 2, 2 * s),
    ]

    await project(pool, [*told, newest, *later])

    (contact,) = (await page(pool))["contacts"]
    assert contact["updatedAt"] == "1970-01-01T00:00:09Z"


async def test_the_newest_five_activities_count_those_of_merged_persons(pool: db.Pool) -> None:
    newer = [
        facts.activity(
            10 + n, person_id=[1, 2, 3][n % 3], add_time=START + timedelta(hours=n // 2)
        )
        for n in range(9)
    ]
    await project(
        pool,
        [
            facts.person(1, owner_id=7),
            facts.person(2, owner_id=8),
            facts.person(3, owner_id=8),
            facts.merged(3, 2, 5),
            facts.merged(2, 1, 6),
            *newer,
            facts.activity(99, person_id=4, add_time=START + timedelta(days=1)),
        ],
    )

    (contact,) = (await page(pool))["contacts"]

    assert [activity["id"] for activity in contact["activities"]] == ["18", "17", "16", "15", "14"]


async def test_an_organization_that_is_not_there_or_deleted_shows_as_none(pool: db.Pool) -> None:
    await project(pool, [facts.person(1), facts.link(1, 1)])
    before = (await page(pool))["contacts"][0]
    await project(pool, [facts.organization(1, 1)])
    there = (await page(pool))["contacts"][0]
    await project(pool, [facts.organization(1, 2, deleted=True)])
    after = (await page(pool))["contacts"][0]

    assert (before["organization"], before["organizationId"]) == (None, None)
    assert there["organization"]["name"] == "Organization 1"
    assert (after["organization"], after["organizationId"]) == (None, None)


async def test_an_organization_that_went_into_another_filters_by_the_survivor(
    pool: db.Pool,
) -> None:
    survivor = facts.organization_id(2)
    await project(
        pool,
        [
            facts.person(1),
            facts.link(1, 2),
            facts.organization(2),
            facts.organization(1, deleted=True, merged_into=survivor),
        ],
    )

    read = await page(pool, organizationId=facts.organization_id(1))

    assert [contact["id"] for contact in read["contacts"]] == [facts.contact_id(1)]


async def test_a_company_never_sees_anothers_rows_though_all_ids_are_the_same(
    pool: db.Pool,
) -> None:
    for company in (COMPANY, COMPANY + 1):
        await project(
            pool,
            [
                facts.person(1, company=company, name=f"Of {company}"),
                facts.link(1, 1, company=company),
                facts.organization(1, company=company, name=f"Org of {company}"),
                facts.score(1, 3, company=company),
                facts.activity(5, company=company, person_id=1, subject=f"Of {company}"),
            ],
        )
    await project(pool, [facts.status(1, "running", company=COMPANY + 1)])

    mine = await page(pool, ME)
    others = await page(pool, User(COMPANY + 1, 7))

    assert [c["name"] for c in mine["contacts"]] == [f"Of {COMPANY}"]
    assert [c["organization"]["name"] for c in mine["contacts"]] == [f"Org of {COMPANY}"]
    assert [a["subject"] for c in mine["contacts"] for a in c["activities"]] == [f"Of {COMPANY}"]
    assert mine["syncStatus"]["state"] == "never"
    assert [c["name"] for c in others["contacts"]] == [f"Of {COMPANY + 1}"]
    foreign = facts.organization_id(1, COMPANY + 1)
    assert (await page(pool, organizationId=foreign))["contacts"] == []


async def test_a_contact_is_read_by_its_owner_and_by_admins_of_the_company_only(
    pool: db.Pool,
) -> None:
    await project(pool, [facts.person(1, owner_id=7)])
    contact_id = ids.contact(COMPANY, 1)

    async def read(user: User, *, of_anyone: bool) -> bool:
        async with reading.snapshot(pool) as conn:
            found = await reading.contact(conn, user, contact_id, of_anyone=of_anyone)
        return found is not None

    assert await read(ME, of_anyone=False)
    assert not await read(User(COMPANY, 8), of_anyone=False)
    assert await read(User(COMPANY, 8), of_anyone=True)
    assert not await read(User(COMPANY + 1, 7), of_anyone=True)


async def test_organizations_come_by_all_their_contacts(pool: db.Pool) -> None:
    await project(
        pool,
        [
            *[facts.person(n, owner_id=7) for n in range(3)],
            *[facts.person(n, owner_id=8) for n in range(3, 8)],
            facts.link(0, 1),
            *[facts.link(n, 2) for n in range(1, 3)],
            *[facts.link(n, 1) for n in range(3, 8)],
            facts.organization(1, name="Straße 100%", contact_count=6),
            facts.organization(2, name="Beta", contact_count=2),
        ],
    )

    async def read(**asked: Any) -> tuple[list[tuple[str, int]], int]:
        request = OrganizationsQuery.model_validate(asked).request()
        async with reading.snapshot(pool) as conn:
            found = await reading.organizations(conn, ME, request)
        data = data_of(found)
        names = [(o["name"], o["ownContactCount"]) for o in data["organizations"]]
        return names, data["pagination"]["total"]

    assert await read() == ([("Straße 100%", 1), ("Beta", 2)], 2)
    assert await read(limit="1", page="2") == ([("Beta", 2)], 2)
    assert await read(search="0%") == ([("Straße 100%", 1)], 1)
    assert await read(search="BETA") == ([("Beta", 2)], 1)
    assert await read(search="_") == ([], 0)


async def statements(pool: db.Pool, **asked: Any) -> int:
    seen: list[str] = []
    async with pool.acquire() as conn:
        request = ListQuery.model_validate({k: str(v) for k, v in asked.items()}).request()
        with conn.query_logger(lambda record: seen.append(record.query)):
            await reading.my_500(conn, ME, request)
    return len(seen)


async def test_the_number_of_statements_does_not_grow_with_the_page(pool: db.Pool) -> None:
    await project(pool, crowd(5, 400))

    first = {limit: await statements(pool, limit=limit) for limit in (1, 20, 250, 500)}
    second = {limit: await statements(pool, limit=limit, page=2) for limit in (1, 20, 100)}

    assert set(first.values()) == {3}
    assert set(second.values()) == {4}


async def test_a_page_is_read_from_the_index_in_its_order(pool: db.Pool) -> None:
    await project(pool, crowd(6, 2000))
    await pool.execute("ANALYZE contacts")
    async with pool.acquire() as conn:
        bound = (True, 3, -(2**63), -(2**63), facts.organization_id(1))
        plan = await conn.fetch("EXPLAIN " + store.PAGE, *ME, 10, 20, *bound, *bound)

    text = "\n".join(row[0] for row in plan)
    assert text.count("using contacts_in_order on contacts") == 2
    assert "ROW(" in text
    keys, _, _ = text.partition("Sort Key: c")
    assert "Seq Scan on contacts" not in keys
