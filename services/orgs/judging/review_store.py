"""SQL of the questions to people. Every function takes the caller's connection; none commits.

Rule 1: a question is open while both records live in different organizations, and nobody said
        that they, or records of the same name in the same organizations, are not the same. Who
        became the other side, merged into it in Pipedrive, was not said to be another than it.
Rule 2: of the questions about two organizations the best is shown.
Rule 3: a question about one record, whether it is what it was, is open until it is answered.
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

_OPEN = """
SELECT q.review_id, q.one, q.other, q.score, q.told,
       a.organization_id AS one_home, b.organization_id AS other_home,
       CASE WHEN q.one = q.other THEN q.one END AS alone
  FROM reviews q
  JOIN records a ON a.company_id = q.company_id AND a.record_id = q.one
  JOIN records b ON b.company_id = q.company_id AND b.record_id = q.other
 WHERE q.company_id = $1 AND NOT a.deleted AND NOT b.deleted
   AND (q.one = q.other OR a.organization_id <> b.organization_id)
   AND NOT EXISTS (
       SELECT
         FROM verdicts v
        WHERE q.one = q.other AND v.company_id = q.company_id AND v.review_id = q.review_id
          AND v.withdrawn IS NOT TRUE AND NOT v.deleted)
   AND NOT EXISTS (
       SELECT
         FROM verdicts v
         JOIN records l
           ON l.company_id = v.company_id AND l.record_id = ANY (v.left_records || v.right_records)
          AND l.organization_id = a.organization_id
          AND (l.name_key IS NOT DISTINCT FROM a.name_key OR l.deleted)
         JOIN records r
           ON r.company_id = v.company_id AND r.record_id = ANY (v.left_records || v.right_records)
          AND r.organization_id = b.organization_id
          AND (r.name_key IS NOT DISTINCT FROM b.name_key OR r.deleted)
        WHERE v.company_id = q.company_id AND v.decision = 'distinct'
          AND v.withdrawn IS NOT TRUE AND NOT v.deleted
          AND (l.record_id = ANY (v.left_records)) <> (r.record_id = ANY (v.left_records))
          AND NOT EXISTS (
              SELECT
                FROM records s
                JOIN (VALUES (l.record_id, l.organization_id, l.deleted),
                             (r.record_id, r.organization_id, r.deleted))
                     AS e (record_id, home, deleted)
                  ON s.organization_id = e.home AND (s.deleted OR e.deleted)
               WHERE s.company_id = v.company_id
                 AND s.record_id = ANY (v.left_records || v.right_records)
                 AND (s.record_id = ANY (v.left_records))
                     <> (e.record_id = ANY (v.left_records))))
"""

PAGE = f"""
WITH open AS ({_OPEN}),
best AS (
    SELECT DISTINCT ON (least(one_home, other_home), greatest(one_home, other_home), alone) *
      FROM open
     ORDER BY least(one_home, other_home), greatest(one_home, other_home), alone, score DESC,
              review_id)
SELECT *, count(*) OVER () AS total
  FROM best
 ORDER BY score DESC, review_id
 LIMIT $2 OFFSET $3
"""  # noqa: S608  both parts are constants

COUNT = f"""
SELECT count(DISTINCT (least(one_home, other_home), greatest(one_home, other_home), alone))
  FROM ({_OPEN}) AS open
"""  # noqa: S608  as above

ONE = f"{_OPEN} AND q.review_id = $2"
EXISTS = "SELECT EXISTS (SELECT FROM verdicts WHERE company_id = $1 AND review_id = $2)"


class Review(NamedTuple):
    """Two records, and the organizations that they belong to now; or one, and what it was."""

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
    """Beside whom each record is asked about already."""
    found: dict[OrgKey, set[OrgKey]] = {}
    for company_id, record_id, other in await conn.fetch(STANDING, *db.columns(list(records), 2)):
        found.setdefault((company_id, record_id), set()).add((company_id, other))
    return found


async def replace(
    conn: db.Connection,
    records: Collection[OrgKey],
    asked: Iterable[tuple[OrgKey, Asked]],
) -> None:
    """All questions about the records are these."""
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
    pool: db.Pool, company_id: int, limit: int, offset: int
) -> tuple[Sequence[Review], int]:
    """Open questions, the best first, and how many there are."""
    found = await pool.fetch(PAGE, company_id, limit, offset)
    total = found[0]["total"] if found else await pool.fetchval(COUNT, company_id)
    return [Review(*row[:7]) for row in found], total


async def one(conn: db.Connection | db.Pool, company_id: int, review_id: UUID) -> Review | None:
    row = await conn.fetchrow(ONE, company_id, review_id)
    return Review(*row[:7]) if row else None


async def was_decided(conn: db.Connection | db.Pool, company_id: int, review_id: UUID) -> bool:
    found: bool = await conn.fetchval(EXISTS, company_id, review_id)
    return found
