"""A user's numbers are what one would count, whatever happened, in whatever order."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from services.query import reading, stats, tallies
from services.query.batch import User
from services.query.stats import StatsRequest
from shared import db, topics
from shared.kafka.consumer import Received
from tests.support import query_facts as facts
from tests.support.query_facts import COMPANY, START, data_of, project, read_model

pytestmark = pytest.mark.integration

ME = User(COMPANY, 7)
NOW = StatsRequest(tallies.monday(START.date()))

# Follows each activity's person along its merges to whose contact shows it: row by row, where the
# projector moves what differs.
ACTIVITIES_COUNTED = """
WITH RECURSIVE chain (company_id, person_id, at) AS (
    SELECT DISTINCT company_id, person_id, person_id FROM activities WHERE person_id IS NOT NULL
     UNION
    SELECT chain.company_id, chain.person_id, c.merged_into
      FROM chain JOIN contacts c ON c.company_id = chain.company_id AND c.person_id = chain.at
     WHERE c.deleted AND c.merged_into IS NOT NULL
)
SELECT company_id, owner_id, week, type, done, count(*)
  FROM (SELECT chain.company_id, shown.owner_id, left(coalesce(a.type, ''), 100) AS type,
               coalesce(a.done, false) AS done,
               coalesce(date_trunc('week', coalesce(a.due_date::timestamp,
                                   a.add_time AT TIME ZONE 'UTC'))::date, '-infinity') AS week
          FROM chain
          JOIN contacts shown ON shown.company_id = chain.company_id
                             AND shown.person_id = chain.at AND shown.listed
          JOIN activities a ON a.company_id = chain.company_id
                           AND a.person_id = chain.person_id AND NOT a.deleted) AS counted
 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
ACTIVITIES_KEPT = "SELECT * FROM user_activities WHERE activities <> 0 ORDER BY 1, 2, 3, 4, 5"

TOTALS_COUNTED = """
SELECT company_id, owner_id, count(DISTINCT organization_id), count(*)
  FROM contacts JOIN organizations USING (company_id, organization_id)
 WHERE listed AND NOT organizations.deleted GROUP BY 1, 2 ORDER BY 1, 2
"""
TOTALS_KEPT = """
SELECT * FROM user_totals WHERE organizations <> 0 OR linked <> 0 ORDER BY 1, 2
"""

SHARES_COUNTED = """
SELECT c.company_id, c.organization_id, c.owner_id, count(*),
       coalesce(NOT o.deleted, false) AS living, coalesce(folded(o.name), '') AS sort_name,
       coalesce(-o.contact_count, 0) AS fewest
  FROM contacts AS c LEFT JOIN organizations AS o USING (company_id, organization_id)
 WHERE c.listed AND c.organization_id IS NOT NULL
 GROUP BY 1, 2, 3, 5, 6, 7 ORDER BY 1, 2, 3
"""
SHARES_KEPT = """
SELECT company_id, organization_id, owner_id, contacts, living, sort_name, fewest
  FROM user_organizations WHERE contacts <> 0 ORDER BY 1, 2, 3
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    async with read_model(database_url) as pool:
        yield pool


async def numbers(pool: db.Pool, user: User = ME, asked: StatsRequest = NOW) -> dict[str, Any]:
    async with reading.snapshot(pool) as conn:
        read = await stats.stats(conn, user, asked)
    found: dict[str, Any] = data_of(read)
    return found


async def assert_counted(pool: db.Pool) -> None:
    for counted, kept in (
        (ACTIVITIES_COUNTED, ACTIVITIES_KEPT),
        (TOTALS_COUNTED, TOTALS_KEPT),
        (SHARES_COUNTED, SHARES_KEPT),
    ):
        expected = [tuple(row) for row in await pool.fetch(counted)]
        assert [tuple(row) for row in await pool.fetch(kept)] == expected


def activities(random: Random, *, persons: int, count: int) -> list[Received]:
    """Activities that come, move from person to person, change their kind and date, and go."""
    found = []
    for version in range(1, count + 1):
        number = random.randrange(count // 4 + 1)
        data: dict[str, Any] = {}
        if random.random() < 0.6:
            data["person_id"] = random.choice([*range(persons), None])
        if random.random() < 0.6:
            day = START.date() + timedelta(days=random.randrange(-90, 30))
            data["due_date"] = random.choice([day, day, None])
        if random.random() < 0.5:
            data["type"] = random.choice(["call", "meeting", "e-mail", None, "x" * 300])
        if random.random() < 0.5:
            data["done"] = random.choice([True, False, None])
        if random.random() < 0.3:
            data["add_time"] = START + timedelta(hours=random.randrange(-1000, 1000))
        gone = random.random() < 0.1
        found.append(
            facts.changed(topics.ACTIVITIES, number, version, data=None if gone else data)
        )
    return found


def story(seed: int) -> list[Received]:
    random = Random(seed)  # noqa: S311  repeatable, not secret
    whole = [
        *facts.history(random, persons=12, facts=300),
        *activities(random, persons=12, count=300),
        *[
            facts.merged(random.randrange(12), random.randrange(12), 300 + version)
            for version in range(10)
        ],
    ]
    random.shuffle(whole)
    return whole


@pytest.mark.parametrize("seed", range(8))
async def test_the_counters_are_what_one_would_count_after_every_batch(
    pool: db.Pool, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  as above
    told = story(seed)
    told += random.sample(told, 100)
    while told:
        size = random.choice([1, 3, 20, 150])
        await project(pool, told[:size])
        told = told[size:]
        await assert_counted(pool)


@pytest.mark.parametrize("seed", range(3))
async def test_projectors_side_by_side_count_the_same(pool: db.Pool, seed: int) -> None:
    shares: list[list[Received]] = [[], [], []]
    for fact in story(100 + seed):
        shares[zlib.crc32(fact.topic.encode() + fact.fact.key) % 3].append(fact)

    async def work(share: list[Received]) -> None:
        while share:
            await project(pool, share[:9])
            share = share[9:]

    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(work(share))

    await assert_counted(pool)
    assert await pool.fetchval("SELECT count(*) FROM user_activities WHERE activities > 0") > 0


async def test_who_gets_a_contact_gets_its_activities(pool: db.Pool) -> None:
    await project(
        pool,
        [
            facts.activity(1, person_id=1),
            facts.activity(2, person_id=2),
            facts.person(1, 1, owner_id=7),
            facts.person(2, 1, owner_id=8),
        ],
    )
    apart = [(await numbers(pool, User(COMPANY, n)))["activities"]["total"] for n in (7, 8)]

    await project(pool, [facts.merged(2, 1, 2)])
    merged = [(await numbers(pool, User(COMPANY, n)))["activities"]["total"] for n in (7, 8)]
    await project(pool, [facts.person(1, 3, owner_id=8)])
    given = [(await numbers(pool, User(COMPANY, n)))["activities"]["total"] for n in (7, 8)]
    await project(pool, [facts.deleted(1, 4)])
    gone = [(await numbers(pool, User(COMPANY, n)))["activities"]["total"] for n in (7, 8)]

    assert [apart, merged, given, gone] == [[1, 1], [2, 0], [0, 2], [0, 0]]


async def test_the_numbers_say_all_that_is_promised(pool: db.Pool) -> None:
    await project(
        pool,
        [
            *[facts.person(n, owner_id=7) for n in range(4)],
            facts.person(9, owner_id=8),
            facts.score(0, 3),
            facts.score(1, 4),
            facts.score(2, 10),
            facts.campaign(2, 1, added=True),
            *[facts.link(n, 1) for n in range(2)],
            facts.link(2, 2),
            facts.link(3, 3),
            facts.organization(1, name="Acme"),
            facts.organization(2, name="Beta", contact_count=9),
            facts.organization(3, name="Gone", deleted=True),
            facts.activity(1, person_id=0, due_date=START.date()),
            facts.activity(2, person_id=0, due_date=START.date(), done=False),
            facts.activity(3, person_id=1, type="meeting", due_date=START.date() - timedelta(84)),
            facts.activity(4, person_id=1, due_date=START.date() + timedelta(7), done=False),
            facts.activity(5, person_id=9),
            facts.status(3, "idle"),
        ],
    )

    read = await numbers(pool)

    assert read["contacts"] == {"total": 4, "inCampaign": 1, "notInCampaign": 3}
    assert [n["contacts"] for n in read["warmness"]["distribution"]] == [
        *(1, 0, 0, 1, 1),
        *(0, 0, 0, 0, 0, 1),
    ]
    assert read["warmness"]["bands"] == {"0-3": 2, "4-6": 1, "7-10": 1}
    assert read["organizations"] == {
        "total": 2,
        "contactsWith": 3,
        "contactsWithout": 1,
        "coverage": 0.75,
        "top": [
            {"id": str(facts.organization_id(1)), "name": "Acme", "ownContactCount": 2},
            {"id": str(facts.organization_id(2)), "name": "Beta", "ownContactCount": 1},
        ],
    }
    assert {k: v for k, v in read["activities"].items() if k != "byWeek"} == {
        "total": 4,
        "done": 2,
        "planned": 2,
        "byType": [
            {"type": "call", "done": 1, "planned": 2},
            {"type": "meeting", "done": 1, "planned": 0},
        ],
    }
    weeks = read["activities"]["byWeek"]
    assert [week["week"] for week in weeks] == [
        str(date(2026, 2, 23) - timedelta(weeks=back)) for back in range(11, -1, -1)
    ]
    assert [(week["done"], week["planned"]) for week in weeks] == [(0, 0)] * 11 + [(1, 1)]
    assert (read["syncStatus"]["state"], read["syncStatus"]["successRate"]) == ("idle", 1.0)


async def test_a_user_without_anything_has_numbers_too(pool: db.Pool) -> None:
    read = await numbers(pool, User(COMPANY + 1, 7))

    assert read["contacts"]["total"] == 0
    assert read["organizations"]["coverage"] is None
    assert read["syncStatus"]["successRate"] is None
    assert len(read["activities"]["byWeek"]) == stats.WEEKS
