"""SQL of the questions to people. Every function takes the caller's connection; none commits.

Rule 1: a question is open while both records live in different organizations, and nobody said
        that they, or records of the same name in the same organizations, are distinct. A record
        that Pipedrive merged into the other side is not covered by such a verdict.
Rule 2: of the questions about two organizations the best is shown.
Rule 3: a question about one record, whether it is still the same, is open until it is answered.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import names
from services.orgs.effects import OrgKey
from services.orgs.matching.asking import Asked, Was
from shared import db

STANDING = """
SELECT q.company_id, k.record_id, CASE WHEN q.one = k.record_id THEN q.other ELSE q.one END
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN reviews q
    ON q.company_id = k.company_id AND (q.one = k.record_id OR q.other = k.record_id)
"""

FORGET = """
DELETE FROM reviews q
 USING unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
 WHERE q.company_id = k.company_id AND (q.one = k.record_id OR q.other = k.record_id)
"""

KEEP = """
INSERT INTO reviews (company_id, review_id, one, other, score, told)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::float8[], $6::jsonb[])
    ON CONFLICT (company_id, review_id) DO UPDATE
   SET score = EXCLUDED.score, told = EXCLUDED.told
"""

# Closed questions are found from the verdicts, once: looked up for each question, all verdicts
# would be read as often as there are questions. And Postgres gets no choice to compare all with
# all, since for one tenant among many it expects a row or two: a record is looked up by its id
# (LIMIT), the sides of a verdict unnest beside one another, and NOT IN has a hash.
#
# A dead record stands for every name of the place it went to (that place stands for the name), but
# not where the other side is as well, nor does that side there.
_SAID = """
WITH said AS (
    SELECT DISTINCT v.verdict_id, told.is_left, r.organization_id AS home, r.deleted AS gone,
           CASE WHEN r.deleted THEN r.organization_id
                ELSE coalesce(r.name_key, '00000000-0000-0000-0000-000000000000')
            END AS name
      FROM verdicts v
     CROSS JOIN LATERAL (
           SELECT ref, true FROM unnest(v.left_records) AS ref
            UNION ALL
           SELECT ref, false FROM unnest(v.right_records) AS ref) AS told (record_id, is_left)
     CROSS JOIN LATERAL (
           SELECT *
             FROM records
            WHERE company_id = $1 AND record_id = told.record_id
            LIMIT 1) AS r
     WHERE v.company_id = $1 AND v.decision = 'distinct' AND r.organization_id IS NOT NULL
       AND v.withdrawn IS NOT TRUE AND NOT v.deleted
"""

_ASKED = """),
asked AS MATERIALIZED (
    SELECT q.review_id, q.one, q.other, q.score,
           a.organization_id AS one_home, b.organization_id AS other_home,
           coalesce(a.name_key, '00000000-0000-0000-0000-000000000000') AS one_name,
           coalesce(b.name_key, '00000000-0000-0000-0000-000000000000') AS other_name
      FROM reviews q
     CROSS JOIN LATERAL (
           SELECT *
             FROM records
            WHERE company_id = $1 AND record_id = q.one
            LIMIT 1) AS a
     CROSS JOIN LATERAL (
           SELECT *
             FROM records
            WHERE company_id = $1 AND record_id = q.other
            LIMIT 1) AS b
     WHERE q.company_id = $1 AND NOT a.deleted AND NOT b.deleted
"""

_OPEN = """),
sides AS (
    SELECT *,
           CASE WHEN is_left
                THEN bool_or(NOT is_left AND gone) OVER h OR gone AND bool_or(NOT is_left) OVER h
                ELSE bool_or(is_left AND gone) OVER h OR gone AND bool_or(is_left) OVER h
            END AS became_other
      FROM said
    WINDOW h AS (PARTITION BY verdict_id, home)),
parted AS (
    SELECT array_agg(home) FILTER (WHERE is_left) AS left_homes,
           array_agg(name) FILTER (WHERE is_left) AS left_names,
           array_agg(home) FILTER (WHERE NOT is_left) AS right_homes,
           array_agg(name) FILTER (WHERE NOT is_left) AS right_names
      FROM sides
     WHERE NOT became_other
     GROUP BY verdict_id),
pairs AS (
    SELECT l.home AS left_home, l.name AS left_name, r.home AS right_home, r.name AS right_name
      FROM parted
     CROSS JOIN unnest(left_homes, left_names) AS l (home, name)
     CROSS JOIN unnest(right_homes, right_names) AS r (home, name)),
closed AS MATERIALIZED (
    SELECT left_home, left_name, right_home, right_name FROM pairs
     UNION ALL
    SELECT right_home, right_name, left_home, left_name FROM pairs),
open AS (
    SELECT q.review_id, q.one, q.other, q.score, q.one_home, q.other_home,
           CASE WHEN q.one = q.other THEN q.one END AS alone
      FROM asked q
     WHERE CASE
           WHEN q.one = q.other
           THEN NOT EXISTS (
                SELECT
                  FROM verdicts v
                 WHERE v.company_id = $1 AND v.review_id = q.review_id
                   AND v.withdrawn IS NOT TRUE AND NOT v.deleted)
           ELSE one_home <> other_home
                AND (one_home, one_name, other_home, other_name) NOT IN (TABLE closed)
                AND (one_home, one_home, other_home, other_name) NOT IN (TABLE closed)
                AND (one_home, one_name, other_home, other_home) NOT IN (TABLE closed)
                AND (one_home, one_home, other_home, other_home) NOT IN (TABLE closed)
            END)
"""

# A question's details are read only for those on the page: they are as long as twenty others.
PAGE = f"""
{_SAID} {_ASKED} {_OPEN},
best AS (
    SELECT DISTINCT ON (least(one_home, other_home), greatest(one_home, other_home), alone) *
      FROM open
     ORDER BY least(one_home, other_home), greatest(one_home, other_home), alone, score DESC,
              review_id),
paged AS (
    SELECT *, count(*) OVER () AS total
      FROM best
     ORDER BY score DESC, review_id
     LIMIT $2 OFFSET $3)
SELECT p.review_id, p.one, p.other, p.score, q.told, p.one_home, p.other_home, p.total
  FROM paged p
  JOIN reviews q ON q.company_id = $1 AND q.review_id = p.review_id
 ORDER BY p.score DESC, p.review_id
"""  # noqa: S608  all parts are constants

COUNT = f"""
{_SAID} {_ASKED} {_OPEN}
SELECT count(DISTINCT (least(one_home, other_home), greatest(one_home, other_home), alone))
  FROM open
"""  # noqa: S608  as above

# Only a verdict that names a record of its organization closes it.
ONE = f"""
{_SAID}
       AND v.verdict_id IN (
           SELECT m.verdict_id
             FROM reviews q
             JOIN records a ON a.company_id = $1 AND a.record_id = q.one
             JOIN records l ON l.company_id = $1 AND l.organization_id = a.organization_id
             JOIN verdict_members m ON m.company_id = $1 AND m.record_id = l.record_id
            WHERE q.company_id = $1 AND q.review_id = $2)
{_ASKED} AND q.review_id = $2 {_OPEN}
SELECT o.review_id, o.one, o.other, o.score, q.told, o.one_home, o.other_home
  FROM open o
  JOIN reviews q ON q.company_id = $1 AND q.review_id = o.review_id
"""  # noqa: S608  as above
EXISTS = "SELECT EXISTS (SELECT FROM verdicts WHERE company_id = $1 AND review_id = $2)"


class Review(NamedTuple):
    """Two records, and their organizations now; or one, and what it was."""

    review_id: UUID
    one: UUID
    other: UUID
    score: float
    told: dict[str, Any]
    one_home: UUID
    other_home: UUID

    @property
    def features(self) -> dict[str, float]:
        return dict(self.told["features"])

    @property
    def reasons(self) -> list[str]:
        return list(self.told["reasons"])

    @property
    def was(self) -> Was | None:
        was = self.told.get("was")
        return Was(**was) if was else None


async def standing(conn: db.Connection, records: Collection[OrgKey]) -> dict[OrgKey, set[OrgKey]]:
    """The records that each record is already paired with in questions."""
    found: dict[OrgKey, set[OrgKey]] = {}
    for company_id, record_id, other in await conn.fetch(STANDING, *db.columns(list(records), 2)):
        found.setdefault((company_id, record_id), set()).add((company_id, other))
    return found


async def replace(
    conn: db.Connection,
    records: Collection[OrgKey],
    asked: Iterable[tuple[OrgKey, Asked]],
) -> None:
    """Replace all questions about the records with these."""
    await conn.execute(FORGET, *db.columns(list(records), 2))
    rows: dict[UUID, tuple[Any, ...]] = {}
    for (company_id, record_id), each in asked:
        one, other = sorted((record_id, UUID(hex=each.ref)))
        told: dict[str, Any] = {"features": each.features, "reasons": each.reasons}
        if each.was is None:
            review_id = names.pair_id(company_id, one, other)
        else:
            review_id = names.renamed_id(company_id, record_id, each.was.domain, each.was.version)
            told["was"] = each.was._asdict()
        rows[review_id] = (
            company_id,
            review_id,
            one,
            other,
            each.score,
            told,
        )
    if rows:
        await conn.execute(KEEP, *db.columns(list(rows.values()), 6))


async def page(
    conn: db.Connection | db.Pool, company_id: int, limit: int, offset: int
) -> tuple[Sequence[Review], int]:
    """Open questions, best first, and how many there are."""
    found = await conn.fetch(PAGE, company_id, limit, offset)
    total = found[0]["total"] if found else await conn.fetchval(COUNT, company_id)
    return [Review(*row[:7]) for row in found], total


async def one(conn: db.Connection | db.Pool, company_id: int, review_id: UUID) -> Review | None:
    row = await conn.fetchrow(ONE, company_id, review_id)
    return Review(*row[:7]) if row else None


async def was_decided(conn: db.Connection | db.Pool, company_id: int, review_id: UUID) -> bool:
    found: bool = await conn.fetchval(EXISTS, company_id, review_id)
    return found
