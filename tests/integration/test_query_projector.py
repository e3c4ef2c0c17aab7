"""The read model is a function of the facts, whatever their order, batches and repetitions."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from services.query import projection
from services.query.batch import User
from shared import db, topics
from shared.kafka.consumer import Received
from tests.support import query_facts as facts
from tests.support.query_facts import COMPANY, project, read_model

pytestmark = pytest.mark.integration

TABLES = (
    "SELECT * FROM contacts ORDER BY contact_id",
    "SELECT * FROM activities ORDER BY company_id, activity_id",
    "SELECT * FROM organizations ORDER BY organization_id",
    "SELECT * FROM sync_status ORDER BY company_id",
    "SELECT * FROM user_counts WHERE contacts <> 0 ORDER BY 1, 2, 3, 4",
    "SELECT * FROM user_organizations WHERE contacts <> 0 ORDER BY 1, 2, 3",
    "SELECT * FROM user_totals WHERE organizations <> 0 ORDER BY 1, 2",
    "SELECT * FROM user_activities WHERE activities <> 0 ORDER BY 1, 2, 3, 4, 5",
)
COUNTED = """
SELECT company_id, owner_id, not_in_campaign, score, count(*) AS contacts
  FROM contacts WHERE listed GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
SHARED = """
SELECT company_id, organization_id, owner_id, count(*) AS contacts
  FROM contacts WHERE listed AND organization_id IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with read_model(database_url) as pool:
        yield pool


async def rows(pool: db.Pool) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row) for row in await pool.fetch(table)] for table in TABLES]


async def empty(pool: db.Pool) -> None:
    await pool.execute(
        "TRUNCATE contacts, activities, organizations, sync_status, user_counts, "
        "user_organizations, user_totals, user_activities"
    )


async def tidily(pool: db.Pool, story: list[Received]) -> None:
    for fact in story:
        await project(pool, [fact])


async def untidily(pool: db.Pool, story: list[Received], random: Random) -> None:
    mixed = story + random.sample(story, len(story) // 3)
    random.shuffle(mixed)
    while mixed:
        size = random.choice([1, 2, 7, 60])
        await project(pool, mixed[:size])
        mixed = mixed[size:]


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_any_batches_and_duplicates_end_in_the_same_rows(
    pool: db.Pool, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  repeatable, not secret
    story = facts.history(random)
    await tidily(pool, story)
    expected = await rows(pool)

    await empty(pool)
    await untidily(pool, story, random)

    assert await rows(pool) == expected
    assert await pool.fetch(COUNTED) == await pool.fetch(
        "SELECT * FROM user_counts WHERE contacts <> 0 ORDER BY 1, 2, 3, 4"
    )
    assert await pool.fetch(SHARED) == await pool.fetch(
        "SELECT company_id, organization_id, owner_id, contacts FROM user_organizations "
        "WHERE contacts <> 0 ORDER BY 1, 2, 3"
    )


async def test_known_facts_told_again_affect_nobody(pool: db.Pool) -> None:
    story = facts.history(Random(9))  # noqa: S311  as above
    await project(pool, story)

    users = await project(pool, story)

    assert users == set()


async def test_who_loses_a_contact_and_who_gets_it_are_affected(pool: db.Pool) -> None:
    await project(pool, [facts.person(1, 1, owner_id=7)])

    users = await project(pool, [facts.person(1, 2, owner_id=8)])

    assert users == {User(COMPANY, 7), User(COMPANY, 8)}


async def test_a_change_of_an_organization_affects_the_owners_of_its_contacts(
    pool: db.Pool,
) -> None:
    await project(
        pool,
        [
            facts.person(1, owner_id=7),
            facts.person(2, owner_id=8),
            facts.person(3, owner_id=9),
            facts.link(1, 1),
            facts.link(2, 1),
            facts.link(3, 2),
            facts.organization(1, 1),
        ],
    )

    renamed = await project(pool, [facts.organization(1, 2, name="Renamed")])
    said_again = await project(pool, [facts.organization(1, 3, name="Renamed")])

    assert renamed == {User(COMPANY, 7), User(COMPANY, 8)}
    assert said_again == set()


async def test_an_id_that_leads_to_an_organization_affects_the_owners_of_its_contacts(
    pool: db.Pool,
) -> None:
    """Their pages of that id had nobody in them."""
    await project(
        pool,
        [
            *(facts.person(number, owner_id=6 + number) for number in (1, 2)),
            *(facts.link(number, number) for number in (1, 2)),
            *(facts.organization(number) for number in (1, 2)),
        ],
    )
    first, second = (facts.organization_id(number) for number in (1, 2))

    led = await project(pool, [facts.organization(9, 1, deleted=True, merged_into=first)])
    again = await project(pool, [facts.organization(9, 2, deleted=True, merged_into=first)])
    elsewhere = await project(pool, [facts.organization(9, 3, deleted=True, merged_into=second)])
    nowhere = await project(pool, [facts.organization(9, 4, deleted=True)])

    assert led == {User(COMPANY, 7)}
    assert again == set()
    assert elsewhere == {User(COMPANY, 7), User(COMPANY, 8)}
    assert nowhere == {User(COMPANY, 8)}


async def test_an_activity_of_a_merged_person_affects_the_survivors_owner(pool: db.Pool) -> None:
    await project(
        pool,
        [
            facts.person(1, 1, owner_id=7),
            facts.person(2, 1, owner_id=8),
            facts.person(3, 1, owner_id=9),
            facts.merged(1, 2, 2),
            facts.merged(2, 3, 3),
        ],
    )

    users = await project(pool, [facts.activity(50, person_id=1)])

    assert users == {User(COMPANY, 9)}


async def test_an_activity_that_moves_affects_both_contacts_owners(pool: db.Pool) -> None:
    await project(
        pool,
        [
            facts.person(1, owner_id=7),
            facts.person(2, owner_id=8),
            facts.activity(50, 1, person_id=1),
        ],
    )

    users = await project(pool, [facts.changed(topics.ACTIVITIES, 50, 2, data={"person_id": 2})])

    assert users == {User(COMPANY, 7), User(COMPANY, 8)}


async def test_what_is_told_again_with_another_moment_of_the_second_affects_nobody(
    pool: db.Pool,
) -> None:
    """As a sync tells what a webhook told: under the end of the second."""
    second, end = 1_700_000_000_123_000, 1_700_000_000_999_999
    told = [facts.person(1, second, name="Ada"), facts.activity(50, second, person_id=1)]
    again = [facts.person(1, end, name="Ada"), facts.activity(50, end, person_id=1)]
    renamed = [facts.person(1, end + 1, name="Eve")]

    assert await project(pool, told) == {User(COMPANY, 7)}
    assert await project(pool, again) == set()
    assert await pool.fetchval("SELECT version FROM contacts") == end
    assert await project(pool, renamed) == {User(COMPANY, 7)}


async def test_a_sync_status_affects_everyone_in_the_company(pool: db.Pool) -> None:
    assert await project(pool, [facts.status(1, "running")]) == {User(COMPANY, None)}
    assert await project(pool, [facts.status(1, "running")]) == set()


async def test_merges_that_bite_their_tail_end(pool: db.Pool) -> None:
    users = await project(
        pool, [facts.merged(1, 2, 1), facts.merged(2, 1, 1), facts.activity(5, person_id=1)]
    )

    assert users == set()


@pytest.mark.parametrize("seed", range(3))
async def test_projectors_side_by_side_end_in_the_same_rows(pool: db.Pool, seed: int) -> None:
    """Each has its partitions, as a consumer group deals them out; only merges cross them."""
    random = Random(seed)  # noqa: S311  repeatable, not secret
    story = facts.history(random, persons=12, facts=400)
    await tidily(pool, story)
    expected = await rows(pool)
    await empty(pool)
    shares: list[list[Received]] = [[], [], []]
    for fact in story:
        shares[zlib.crc32(fact.topic.encode() + fact.fact.key) % 3].append(fact)

    async def work(share: list[Received]) -> None:
        while share:
            await project(pool, share[:9])
            share = share[9:]

    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(work(share))

    assert await rows(pool) == expected


async def test_a_new_store_looks_its_activities_up_by_their_keys(pool: db.Pool) -> None:
    """Its plans are made while Postgres knows the tables to be empty, and last for seconds."""
    wanted = projection.ACTIVITIES.replace("$1", "'{1,1}'").replace("$2", "'{8,9}'")

    plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {wanted}")

    (condition,) = re.findall(r'"Index Cond": "(.*)"', plan)
    assert "activity_id = wanted.activity_id" in condition
    assert "company_id = wanted.company_id" in condition
