"""Each statement that answers a user goes by its index, whatever the size of the list.

On one user's 20,000 contacts beside another's, analyzed and vacuumed: what is looked at are plans
and the rows and blocks they touched, not times.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.query import organization_store, reading, stats, store, tallies
from services.query.batch import User
from services.query.main import MIGRATIONS, SCHEMA
from services.query.request import ListQuery, OrganizationsQuery
from services.query.searching import hits_store
from services.query.searching import reading as search
from services.query.searching.request import SearchQuery
from services.query.stats import StatsRequest
from shared import db, service
from tests.support.plans import Plan, Read, plans
from tests.support.query_facts import COMPANY, START, data_of

pytestmark = pytest.mark.integration

ME = User(COMPANY, 7)
CONTACTS = 20_000
ORGANIZATIONS = 2_000
PAGE_ROWS = 21
"""Of a page of 20, and the one that tells whether another follows."""

SEED = (
    """INSERT INTO organizations
              (company_id, organization_id, version, deleted, name, contact_count)
       SELECT $1::bigint, md5('o' || n)::uuid, 1, n % 50 = 0, 'Organization ' || md5(n::text), 1
         FROM generate_series(0, 1999) AS n""",
    """INSERT INTO contacts (contact_id, company_id, person_id, version, deleted, owner_id, name,
                             add_time, link_version, organization_id, score_version, score,
                             last_contacted, campaign_version, added_to_campaign)
       SELECT md5('c' || n)::uuid, $1::bigint, n, 1, false, CASE WHEN n % 4 = 3 THEN 8 ELSE 7 END,
              'Person ' || n, timestamptz '2026-01-01' + n % 977 * interval '1 hour',
              1, CASE WHEN n % 10 > 0 THEN md5('o' || n % 2000)::uuid END, 1, n % 11,
              CASE WHEN n % 3 > 0 THEN timestamptz '2026-02-01' + n % 97 * interval '1 hour' END,
              1, n % 33 = 0
         FROM generate_series(0, 26665) AS n""",
    """INSERT INTO activities
       SELECT $1::bigint, n, 1, 0, n::text, false, null, n % 26666, 'type ' || n % 6, 'Subject',
              n % 4 > 0, date '2026-03-01' - n % 800,
              timestamptz '2026-01-01' + n % 977 * interval '1 hour'
         FROM generate_series(0, 59999) AS n""",
    """INSERT INTO user_counts
       SELECT company_id, owner_id, not_in_campaign, score, count(*)
         FROM contacts WHERE listed AND company_id = $1 GROUP BY 1, 2, 3, 4""",
    """INSERT INTO user_organizations
              (company_id, organization_id, owner_id, contacts, living, sort_name, fewest)
       SELECT c.company_id, c.organization_id, c.owner_id, count(*), NOT o.deleted, o.sort_name,
              -o.contact_count
         FROM contacts AS c JOIN organizations AS o USING (company_id, organization_id)
        WHERE c.listed AND c.company_id = $1 GROUP BY 1, 2, 3, 5, 6, 7""",
    """INSERT INTO user_totals
       SELECT company_id, owner_id, count(*), sum(contacts)
         FROM user_organizations WHERE contacts > 0 AND living AND company_id = $1
        GROUP BY 1, 2""",
    """INSERT INTO user_activities
       SELECT $1::bigint, owner_id, date_trunc('week', due_date)::date, type, done, count(*)
         FROM activities JOIN contacts USING (company_id, person_id)
        WHERE company_id = $1 GROUP BY 1, 2, 3, 4, 5""",
)


@pytest.fixture(scope="module")
async def pool(infra: Any) -> AsyncIterator[db.Pool]:
    from tests.support.infra import new_database

    with new_database(infra) as dsn:
        await service.prepare_store(dsn, SCHEMA, MIGRATIONS, asyncio.Event())
        # Durable: VACUUM believes no row to be seen by all whose commit is not on disk yet.
        async with db.pool(dsn, SCHEMA, size=4) as pool:
            for statement in SEED:
                await pool.execute(statement, COMPANY)
            await pool.execute("VACUUM (ANALYZE)")
            yield pool


def contacts(user: User = ME, **asked: Any) -> Read:
    request = ListQuery.model_validate({k: str(v) for k, v in asked.items()}).request()
    return lambda conn: reading.my_500(conn, user, request)


def organizations(user: User = ME, **asked: Any) -> Read:
    request = OrganizationsQuery.model_validate({k: str(v) for k, v in asked.items()}).request()
    return lambda conn: reading.organizations(conn, user, request)


FILTERS: list[dict[str, Any]] = [
    {},
    {"inCampaign": "true"},
    {"inCampaign": "false"},
    {"warmness": "0-3"},
    {"warmness": "7-10", "inCampaign": "false"},
]


async def in_organization(pool: db.Pool) -> Any:
    return await pool.fetchval(
        "SELECT organization_id FROM user_organizations "
        "WHERE owner_id = $1 AND living AND contacts > 5 ORDER BY organization_id LIMIT 1",
        ME.user_id,
    )


def assert_bounded(plan: Plan, *, rows: int = 5 * PAGE_ROWS) -> None:
    """Nothing is read whole, sorted whole, or fetched to be thrown away."""
    kinds = {node["Node Type"] for node in plan.nodes}
    big = ("contacts", "activities", "organizations", "user_organizations", "user_activities")
    whole = [
        node
        for node in plan.nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in big
    ]
    assert not whole, plan.statement
    assert plan.rows("Sort") <= rows, plan.statement
    assert plan.rows("Incremental Sort") <= rows, plan.statement
    assert plan.rows("Index Scan") <= rows, plan.statement
    assert "Bitmap Heap Scan" not in kinds or rows > 5 * PAGE_ROWS, plan.statement
    thrown_away = sum(node.get("Rows Removed by Filter", 0) for node in plan.nodes)
    assert thrown_away <= rows, plan.statement


def of(found: list[Plan], part: str) -> Plan:
    (plan,) = [each for each in found if part in each.statement]
    return plan


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("number", [1, 2, 300, 700])
async def test_a_page_by_number_reads_its_rows_and_counts_none(
    pool: db.Pool, filters: dict[str, Any], number: int
) -> None:
    found = await plans(pool, contacts(page=number, **filters))

    for plan in found:
        assert_bounded(plan)
    assert of(found, "JOIN user_counts").blocks <= 40
    pages = [plan for plan in found if plan.statement == store.PAGE]
    for page in pages:
        assert "contacts_in_order" in page.indexes
        assert page.blocks <= 40 + 12 * PAGE_ROWS
    for seek in (p for p in found if p.statement in (store.SEEK, store.SEEK_BACKWARDS)):
        assert {n["Node Type"] for n in seek.nodes} == {"Limit", "Index Only Scan"}
        assert seek.indexes == {"contacts_in_order"}
        assert seek.rows("Index Only Scan") <= CONTACTS / 11 / 2 + 1  # half of a bucket
        assert sum(n.get("Heap Fetches", 0) for n in seek.nodes) == 0


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_a_page_by_cursor_begins_where_the_one_before_ended(
    pool: db.Pool, filters: dict[str, Any]
) -> None:
    async with pool.acquire() as conn:
        before = data_of(await contacts(page=10, **filters)(conn))
    cursor = before["pagination"]["nextCursor"]

    found = await plans(pool, contacts(cursor=cursor, **filters))

    assert [p for p in found if p.statement in (store.SEEK, store.SEEK_BACKWARDS)] == []
    for plan in found:
        assert_bounded(plan)
    page = of(found, "FROM keys")
    assert page.indexes >= {"contacts_in_order", "contacts_pkey", "organizations_pkey"}
    assert page.rows("Index Only Scan") <= PAGE_ROWS
    assert page.blocks <= 40 + 12 * PAGE_ROWS


async def test_the_contacts_of_an_organization_are_read_from_its_part_of_the_index(
    pool: db.Pool,
) -> None:
    chosen = await in_organization(pool)

    for number in (1, 2):
        for plan in await plans(pool, contacts(organizationId=chosen, limit=3, page=number)):
            assert_bounded(plan)
            assert plan.blocks <= 200
    found = await plans(pool, contacts(organizationId=chosen, limit=3))

    assert "contacts_in_order_by_organization" in of(found, "FROM keys").indexes


async def test_the_activities_of_a_page_are_the_newest_of_each_contact(pool: db.Pool) -> None:
    found = await plans(pool, contacts(page=50))

    plan = of(found, "FROM ranked")
    assert plan.indexes == {"contacts_merged", "activities_newest"}
    assert plan.rows("Index Scan") <= 20 * store.NEWEST
    assert plan.blocks <= 12 * PAGE_ROWS


async def test_a_contact_is_read_by_its_id(pool: db.Pool) -> None:
    anyone = await pool.fetchval("SELECT contact_id FROM contacts WHERE owner_id = 7 LIMIT 1")

    found = await plans(pool, lambda conn: reading.contact(conn, ME, anyone, of_anyone=False))

    for plan in found:
        assert_bounded(plan)
        assert plan.blocks <= 40


@pytest.mark.parametrize("number", [1, 2, 40, 60])
async def test_organizations_are_read_in_the_order_of_their_index(
    pool: db.Pool, number: int
) -> None:
    found = await plans(pool, organizations(page=number))

    for plan in found:
        assert_bounded(plan)
        assert plan.blocks <= 8 * PAGE_ROWS
    page = of(found, "FROM keys")
    assert page.indexes == {
        "user_organizations_in_order",
        "user_organizations_pkey",
        "organizations_pkey",
    }
    assert page.rows("Index Only Scan") <= PAGE_ROWS
    for seek in (p for p in found if "OFFSET $3" in p.statement):
        assert {n["Node Type"] for n in seek.nodes} == {"Limit", "Index Only Scan"}
        assert seek.rows("Index Only Scan") <= ORGANIZATIONS / 2 + 1


@pytest.mark.parametrize("search", ["organization", "abc", "nothing of the kind"])
async def test_a_part_of_a_name_is_looked_for_in_the_index_alone(
    pool: db.Pool, search: str
) -> None:
    found = await plans(pool, organizations(search=search))

    passes = (organization_store.SEARCH, organization_store.COUNT)
    hits = [plan for plan in found if plan.statement in passes]
    assert len(hits) == (2 if search == "organization" else 1)
    for plan in hits:
        assert plan.indexes == {"user_organizations_in_order"}
        assert "Sort" not in {node["Node Type"] for node in plan.nodes}
        assert sum(n.get("Heap Fetches", 0) for n in plan.nodes) == 0
        assert plan.blocks <= ORGANIZATIONS / 40
    for plan in found:
        if plan not in hits:
            assert_bounded(plan)


async def test_numbers_are_read_from_counters(pool: db.Pool) -> None:
    asked = StatsRequest(tallies.monday(START.date()))

    found = await plans(pool, lambda conn: stats.stats(conn, ME, asked))

    weeks, types = 116, 6
    for plan in found:
        assert_bounded(plan, rows=weeks * types * 2)
        assert plan.blocks <= 200
    assert not any(
        node.get("Relation Name") in ("contacts", "activities")
        for plan in found
        for node in plan.nodes
    )


async def test_who_came_since_the_tables_were_analyzed_is_read_by_the_same_indexes(
    pool: db.Pool,
) -> None:
    """Postgres believes that a company it has not met has no rows: any index would do for them."""
    newcomer = User(COMPANY + 1, ME.user_id)
    for statement in SEED:
        await pool.execute(statement.replace("md5('c'", "md5('d'"), newcomer.company_id)

    for number in (1, 40):
        found = await plans(pool, contacts(newcomer, page=number))
        assert of(found, "FROM keys").indexes == {
            "contacts_in_order",
            "contacts_pkey",
            "organizations_pkey",
        }
        for plan in found:
            assert_bounded(plan)
    for plan in await plans(pool, organizations(newcomer, search="abc")):
        assert plan.indexes <= {
            "user_organizations_in_order",
            "user_organizations_pkey",
            "organizations_pkey",
        }
        assert "Sort" not in {node["Node Type"] for node in plan.nodes} or plan.rows("Sort") < 50


async def test_hits_of_one_with_many_contacts_among_many_with_few_are_read_by_their_keys(
    pool: db.Pool,
) -> None:
    await pool.execute(
        """INSERT INTO contacts (contact_id, company_id, person_id, version, deleted, owner_id)
           SELECT md5('few' || n)::uuid, $1::bigint, 100000 + n, 1, false, 1000 + n
             FROM generate_series(0, 1999) AS n""",
        COMPANY,
    )
    await pool.execute("ANALYZE contacts")
    asked = SearchQuery(q="person 77").request()

    found = await plans(pool, lambda conn: search.search(conn, ME, asked))

    shown = [plan for plan in found if plan.statement == hits_store.SHOWN]
    assert shown
    for plan in shown:
        assert plan.indexes == {"contacts_pkey", "organizations_pkey"}
