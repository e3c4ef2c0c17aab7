"""A user's organizations: their order, how they are found, and the pages they come in."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.query import reading
from services.query.batch import User
from services.query.main import MIGRATIONS, SCHEMA
from services.query.request import OrganizationsQuery
from shared import db, service
from shared.kafka.consumer import Received
from tests.support import query_facts as facts
from tests.support.query_facts import COMPANY, data_of, project, read_model

pytestmark = pytest.mark.integration

ME = User(COMPANY, 7)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with read_model(database_url) as pool:
        yield pool


async def page(pool: db.Pool, user: User = ME, **asked: Any) -> dict[str, Any]:
    request = OrganizationsQuery.model_validate({k: str(v) for k, v in asked.items()}).request()
    async with reading.snapshot(pool) as conn:
        read = await reading.organizations(conn, user, request)
    found: dict[str, Any] = data_of(read)
    return found


def names(read: dict[str, Any]) -> list[str]:
    return [organization["name"] for organization in read["organizations"]]


def town(seed: int, organizations: int = 40) -> list[Received]:
    """Organizations with many ties in count and in name."""
    random = Random(seed)  # noqa: S311  repeatable, not secret
    words = ["Müller", "Muller", "Łódź", "LODZ", "Ångström", "acme", "Acme", "Straße", "Ωmega"]
    told: list[Received] = [
        facts.organization(
            n,
            name=f"{random.choice(words)} {random.choice(words)}",
            contact_count=random.randrange(1, 6),
        )
        for n in range(organizations)
    ]
    for number in range(organizations * 3):
        told.append(facts.person(number, owner_id=random.choice([7, 7, 8])))
        told.append(facts.link(number, random.randrange(organizations)))
    return told


@pytest.mark.parametrize("search", ["", "lodz", "a", "nothing of the kind"])
async def test_pages_by_cursor_and_by_number_are_the_whole_list_in_order(
    pool: db.Pool, search: str
) -> None:
    await project(pool, town(1))
    whole = await page(pool, limit=500, search=search)
    everyone = whole["organizations"]

    read = await page(pool, limit=7, search=search)
    by_cursor = read["organizations"]
    while read["pagination"]["hasNext"]:
        cursor = read["pagination"]["nextCursor"]
        read = await page(pool, limit=7, cursor=cursor, search=search)
        by_cursor += read["organizations"]
    by_number = []
    for number in range(1, whole["pagination"]["total"] // 7 + 3):
        by_number += (await page(pool, page=number, limit=7, search=search))["organizations"]

    counts = [organization["contactCount"] for organization in everyone]
    assert counts == sorted(counts, reverse=True)
    assert whole["pagination"]["total"] == len(everyone)
    assert by_cursor == everyone
    assert by_number == everyone


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("łódź", ["Łódź Sp."]),
        ("LODZ", ["Łódź Sp."]),
        ("strasse", ["Große Straße"]),
        ("gross", ["Große Straße"]),
        ("ÅNG", ["Ångström & Ægir"]),
        ("aegir", ["Ångström & Ægir"]),
        ("株式", ["株式会社"]),
        ("жит", ["Жители"]),
        ("100%", ["100% \\_"]),
        ("\\_", ["100% \\_"]),
        ("0_", []),
        (" lodz ", ["Łódź Sp."]),
    ],
)
async def test_a_part_of_a_name_is_found_whatever_its_case_and_accents(
    pool: db.Pool, search: str, found: list[str]
) -> None:
    known = ["Łódź Sp.", "Große Straße", "Ångström & Ægir", "株式会社", "Жители", "100% \\_"]
    for number, name in enumerate(known):
        await project(
            pool,
            [
                facts.organization(number, name=name),
                facts.person(number),
                facts.link(number, number),
            ],
        )

    read = await page(pool, search=search)

    assert names(read) == found
    assert read["pagination"]["total"] == len(found)


async def test_a_rename_a_deletion_and_a_return_are_seen_by_every_owner(pool: db.Pool) -> None:
    other = User(COMPANY, 8)
    await project(
        pool,
        [
            facts.person(1, owner_id=7),
            facts.person(2, owner_id=8),
            facts.link(1, 1),
            facts.link(2, 1),
        ],
    )
    seen = []
    for change in (
        facts.organization(1, 1, name="Old"),
        facts.organization(1, 2, name="New"),
        facts.organization(1, 3, name="New", deleted=True),
        facts.organization(1, 4, name="Newest"),
    ):
        await project(pool, [change])
        seen.append([names(await page(pool, user)) for user in (ME, other)])

    assert seen == [[["Old"]] * 2, [["New"]] * 2, [[]] * 2, [["Newest"]] * 2]
    assert names(await page(pool, search="new")) == ["Newest"]
    assert names(await page(pool, search="old")) == []


async def test_an_organization_that_gains_contacts_moves_up_for_every_owner(pool: db.Pool) -> None:
    await project(
        pool,
        [
            *[facts.person(n, owner_id=owner) for n, owner in enumerate((7, 7, 8, 8))],
            *[facts.link(n, 1 + n % 2) for n in range(4)],
            facts.organization(1, 1, name="Acme", contact_count=3),
            facts.organization(2, 1, name="Beta", contact_count=2),
        ],
    )
    before = [names(await page(pool, user)) for user in (ME, User(COMPANY, 8))]

    told = await project(pool, [facts.organization(2, 2, name="Beta", contact_count=4)])

    after = [names(await page(pool, user)) for user in (ME, User(COMPANY, 8))]
    assert before == [["Acme", "Beta"]] * 2
    assert after == [["Beta", "Acme"]] * 2
    assert told == {ME, User(COMPANY, 8)}


async def test_whoever_has_no_contact_in_an_organization_any_more_is_told_nothing_of_it(
    pool: db.Pool,
) -> None:
    await project(
        pool,
        [
            *[facts.person(n, owner_id=owner) for n, owner in enumerate((7, 8))],
            *[facts.link(n, 1) for n in range(2)],
            facts.organization(1, 1, contact_count=2),
        ],
    )
    await project(pool, [facts.link(1, 2, 2)])

    assert await project(pool, [facts.organization(1, 2, contact_count=1)]) == {ME}


@pytest.mark.parametrize("search", ["", "acme"])
async def test_far_past_the_end_there_is_an_empty_page(pool: db.Pool, search: str) -> None:
    await project(pool, [facts.person(1), facts.link(1, 1), facts.organization(1, name="Acme")])

    read = await page(pool, search=search, page=10**9, limit=500)

    assert read["organizations"] == []
    assert read["pagination"]["total"] == 1
    assert not read["pagination"]["hasNext"]


async def test_names_may_be_long_missing_or_empty(pool: db.Pool) -> None:
    long = "Ä" * 4000
    for number, name in enumerate([long, None, ""]):
        await project(
            pool,
            [
                facts.organization(number, name=name),
                facts.person(number),
                facts.link(number, number),
            ],
        )

    first = await page(pool, limit=2)
    rest = await page(pool, limit=2, cursor=first["pagination"]["nextCursor"])

    assert {*names(first), *names(rest)} == {long, None, ""}
    assert names(await page(pool, search="aaaa")) == [long]


async def test_organizations_of_other_companies_are_never_found(pool: db.Pool) -> None:
    for company in (COMPANY, COMPANY + 1):
        await project(
            pool,
            [
                facts.person(1, company=company),
                facts.link(1, 1, company=company),
                facts.organization(1, company=company, name=f"Of {company}"),
            ],
        )

    assert names(await page(pool)) == [f"Of {COMPANY}"]
    assert names(await page(pool, search="of")) == [f"Of {COMPANY}"]


async def test_a_read_model_from_before_these_counters_gets_them_right(
    pool: db.Pool, database_url: str, tmp_path: Path
) -> None:
    """The rows of today's store, in a store that had only the first migration."""
    random = Random(5)  # noqa: S311  as above
    await project(pool, [*facts.history(random, persons=15, facts=400), *town(2, 10)])
    shutil.copy(MIGRATIONS / "0001_query.sql", tmp_path)
    await service.prepare_store(database_url, "older", tmp_path, asyncio.Event())
    for table in ("contacts", "activities", "organizations", "user_organizations"):
        names = await pool.fetchval(
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
            "WHERE table_schema = 'older' AND table_name = $1 AND is_generated = 'NEVER'",
            table,
        )
        await pool.execute(
            f"INSERT INTO older.{table} ({names}) SELECT {names} FROM {SCHEMA}.{table}"  # noqa: S608
        )

    await service.prepare_store(database_url, "older", MIGRATIONS, asyncio.Event())

    for table, order in (
        ("user_totals", "WHERE organizations <> 0 ORDER BY 1, 2"),
        ("user_activities", "WHERE activities <> 0 ORDER BY 1, 2, 3, 4, 5"),
        ("user_organizations", "WHERE contacts <> 0 ORDER BY 1, 2, 3"),
    ):
        rows = [
            await pool.fetch(f"SELECT * FROM {schema}.{table} {order}")  # noqa: S608
            for schema in (SCHEMA, "older")
        ]
        assert rows[0] == rows[1] != []
