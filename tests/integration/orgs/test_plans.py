"""What a user waits for reads each question and answer once, whatever Postgres knows of them.

Of a tenant with 2,000 questions and 200 answers among fifty that have one of each: what is looked
at are the rows that went through a statement's plan, not times.
"""

import pytest

from services.orgs.judging import review_store, verdict_store
from shared import db
from tests.support.orgs_facts import OURS
from tests.support.plans import plans

pytestmark = pytest.mark.integration

QUESTIONS, ANSWERS = 2_000, 200

SEED = (
    """INSERT INTO records (company_id, record_id, pipedrive_org_id, version, rank, event_id,
                            deleted, name, normalized_name, name_key, organization_id)
       SELECT $1::bigint, md5('r' || n)::uuid, n, 1, 0, 'e', false, 'Firm ' || n, 'firm' || n,
              md5('n' || n)::uuid, md5('r' || n)::uuid
         FROM generate_series(1, 2 * $2::int) AS n""",
    """INSERT INTO reviews
       SELECT $1::bigint, md5('q' || n)::uuid, least(md5('r' || n), md5('r' || n + $2))::uuid,
              greatest(md5('r' || n), md5('r' || n + $2))::uuid, 1.0 / n, '{}'
         FROM generate_series(1, $2::int) AS n""",
)
SAID = """
WITH said AS (
    INSERT INTO verdicts (company_id, verdict_id, version, rank, event_id, deleted, decision,
                          left_records, right_records)
    SELECT company_id, review_id, 1, 0, 'e', false, 'distinct', ARRAY[one], ARRAY[other]
      FROM reviews
     WHERE company_id = $1
     ORDER BY score
     LIMIT $2
    RETURNING *)
INSERT INTO verdict_members
SELECT company_id, unnest(left_records || right_records), verdict_id
  FROM said
"""

MERGED = """
INSERT INTO verdicts (company_id, verdict_id, version, rank, event_id, deleted, lag, decision,
                      left_records, right_records)
SELECT $1::bigint, md5('v' || n)::uuid, 10000 + n, 0, 'e', false,
       CASE WHEN n % 2 = 0 THEN jsonb_build_object('decision', jsonb_build_array(n, 0, 'e')) END,
       'same', ARRAY[md5('r' || n)::uuid], ARRAY[md5('r' || n + 1)::uuid]
  FROM generate_series(1, $2::int) AS n
"""


@pytest.fixture
async def pool(pool: db.Pool) -> db.Pool:
    for company_id in range(OURS, OURS + 51):
        for statement in SEED:
            await pool.execute(statement, company_id, QUESTIONS if company_id == OURS else 1)
        await pool.execute(SAID, company_id, ANSWERS if company_id == OURS else 1)
    return pool


@pytest.mark.parametrize("known", ["nothing", "all"])
async def test_a_page_of_questions_compares_none_with_every_answer(
    pool: db.Pool, known: str
) -> None:
    if known == "all":
        await pool.execute("ANALYZE")
    found, total = await review_store.page(pool, OURS, 20, 0)
    assert (len(found), total) == (20, QUESTIONS - ANSWERS)

    (plan,) = await plans(pool, lambda conn: review_store.page(conn, OURS, 20, 0))

    assert plan.through <= 20 * (QUESTIONS + ANSWERS)


async def test_one_question_is_looked_up_beside_its_own_answers(pool: db.Pool) -> None:
    await pool.execute("ANALYZE")
    (first, *_), _ = await review_store.page(pool, OURS, 20, 0)

    (plan,) = await plans(pool, lambda conn: review_store.one(conn, OURS, first.review_id))

    assert plan.through <= ANSWERS


@pytest.mark.parametrize("known", ["nothing", "all"])
async def test_a_page_of_merges_is_read_and_not_all_of_them(pool: db.Pool, known: str) -> None:
    for company_id in range(OURS, OURS + 51):
        await pool.execute(MERGED, company_id, QUESTIONS if company_id == OURS else 1)
    if known == "all":
        await pool.execute("ANALYZE")

    found, total = await verdict_store.newest_merges(pool, OURS, 20, 1_990)
    page, _ = await plans(pool, lambda conn: verdict_store.newest_merges(conn, OURS, 20, 40))

    said = [verdict.decided.version for verdict, _ in found]
    assert (total, said) == (QUESTIONS, [20 - 2 * n for n in range(10)])
    assert {len(homes) for _, homes in found} == {2}
    assert page.through < 500
