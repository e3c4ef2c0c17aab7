"""SQL of people's verdicts about records. None of the functions commits.

Rule: a verdict whose decision has not arrived yet, or that was withdrawn, has no effect.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import rows
from services.orgs.effects import OrgKey
from services.orgs.folding import VERDICT_FIELDS, Key
from services.orgs.matching.statement import Statement
from shared import db
from shared.register import Register, Stamp

LOAD = """
SELECT v.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, verdict_id)
  JOIN verdicts v USING (company_id, verdict_id)
"""

# Arrays of arrays do not unnest into rows: the sides travel as text.
UPSERT = """
INSERT INTO verdicts (
       company_id, verdict_id, version, rank, event_id, deleted, lag, decision, left_records,
       right_records, left_id, right_id, decided_by, reason, score, matcher_version, review_id,
       withdrawn, withdrawn_by)
SELECT company_id, verdict_id, version, rank, event_id, deleted, lag, decision,
       left_records::uuid[], right_records::uuid[], left_id, right_id, decided_by, reason, score,
       matcher_version, review_id, withdrawn, withdrawn_by
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::smallint[], $5::text[],
              $6::boolean[], $7::jsonb[], $8::text[], $9::text[], $10::text[], $11::uuid[],
              $12::uuid[], $13::bigint[], $14::text[], $15::float8[], $16::int[], $17::uuid[],
              $18::boolean[], $19::bigint[])
       AS v (company_id, verdict_id, version, rank, event_id, deleted, lag, decision,
             left_records, right_records, left_id, right_id, decided_by, reason, score,
             matcher_version, review_id, withdrawn, withdrawn_by)
    ON CONFLICT (company_id, verdict_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, decision = EXCLUDED.decision,
       left_records = EXCLUDED.left_records, right_records = EXCLUDED.right_records,
       left_id = EXCLUDED.left_id, right_id = EXCLUDED.right_id,
       decided_by = EXCLUDED.decided_by, reason = EXCLUDED.reason, score = EXCLUDED.score,
       matcher_version = EXCLUDED.matcher_version, review_id = EXCLUDED.review_id,
       withdrawn = EXCLUDED.withdrawn, withdrawn_by = EXCLUDED.withdrawn_by
"""

FORGET_MEMBERS = """
DELETE FROM verdict_members m
 USING unnest($1::bigint[], $2::uuid[]) AS k (company_id, verdict_id)
 WHERE m.company_id = k.company_id AND m.verdict_id = k.verdict_id
"""

ADD_MEMBERS = """
INSERT INTO verdict_members (company_id, record_id, verdict_id)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[])
"""

SPOKEN_OF_IN = """
SELECT k.company_id
  FROM unnest($1::bigint[]) AS k (company_id)
 WHERE EXISTS (SELECT FROM verdicts v WHERE v.company_id = k.company_id)
"""

# A record is also covered by verdicts on those that Pipedrive merged into it, even before it has
# arrived itself.
NAMING = """
WITH asked AS (
    SELECT * FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)),
roots AS (
    SELECT * FROM unnest($3::bigint[], $4::bigint[]) AS k (company_id, root)
     UNION
    SELECT s.company_id, s.pipedrive_org_id
      FROM asked
      JOIN records s USING (company_id, record_id)),
known AS (
    SELECT company_id, record_id FROM asked
     UNION
    SELECT m.company_id, l.record_id
      FROM roots
      JOIN merges m
        ON m.company_id = roots.company_id AND m.kind = 'organization' AND m.root = roots.root
      JOIN records l ON l.company_id = m.company_id AND l.pipedrive_org_id = m.loser)
SELECT v.*
  FROM (SELECT DISTINCT company_id, verdict_id
          FROM known JOIN verdict_members USING (company_id, record_id)) AS said
  JOIN verdicts v USING (company_id, verdict_id)
"""

ONE = """
SELECT *
  FROM verdicts
 WHERE company_id = $1 AND verdict_id = $2
"""

# By decision time: withdrawing makes a newer version of the row. The present organizations of a
# merge's records are looked up here: it may name thousands, and reading each would take longer.
NEWEST = """
WITH paged AS MATERIALIZED (
    SELECT *, coalesce((lag -> 'decision' ->> 0)::bigint, version) AS said
      FROM verdicts
     WHERE company_id = $1 AND decision = 'same' AND right_records <> '{}'
     ORDER BY said DESC, verdict_id
     LIMIT $2 OFFSET $3)
SELECT p.*, there.homes
  FROM paged p
 CROSS JOIN LATERAL (
       SELECT array_agg(DISTINCT r.organization_id) AS homes
         FROM unnest(p.left_records || p.right_records) AS told (record_id)
        CROSS JOIN LATERAL (
              SELECT organization_id
                FROM records
               WHERE company_id = $1 AND record_id = told.record_id AND NOT deleted
                 AND organization_id IS NOT NULL
               LIMIT 1) AS r) AS there
 ORDER BY p.said DESC, p.verdict_id
"""

NEWEST_VERSION = """
SELECT coalesce(max(version), 0)
  FROM verdicts
 WHERE company_id = $1
"""

COUNT = """
SELECT count(*)
  FROM verdicts
 WHERE company_id = $1 AND decision = 'same' AND right_records <> '{}'
"""


class Verdict(NamedTuple):
    company_id: int
    verdict_id: UUID
    register: Register

    def field(self, name: str) -> Any:
        return self.register.fields[name]

    @property
    def key(self) -> OrgKey:
        return self.company_id, self.verdict_id

    @property
    def refs(self) -> list[UUID]:
        return [*(self.field("left_records") or ()), *(self.field("right_records") or ())]

    @property
    def sides(self) -> list[list[UUID]]:
        """The two sides that it unites or separates; if it has only one, each record by itself."""
        left, right = self.field("left_records") or [], self.field("right_records") or []
        return [left, right] if right else [[ref] for ref in left]

    @property
    def is_about_one(self) -> bool:
        """Whether it says of one record that it is still the same, or is not."""
        return (
            bool(self.field("review_id"))
            and len(self.field("left_records") or ()) == 1
            and (self.field("left_id") == self.field("right_id"))
        )

    @property
    def is_withdrawn(self) -> bool:
        return bool(self.field("withdrawn")) or self.register.deleted

    @property
    def decided(self) -> Stamp:
        """When it was decided; withdrawing it later does not change that."""
        return self.register.lag.get("decision", self.register.stamp)

    @property
    def withdrawn(self) -> Stamp:
        """When it was withdrawn, if it was."""
        return self.register.lag.get("withdrawn", self.register.stamp)

    @property
    def statement(self) -> Statement | None:
        decision = self.field("decision")
        if decision is None or self.is_withdrawn:
            return None
        return Statement(
            self.decided.version,
            self.decided.event_id,
            self.verdict_id,
            decision == "same",
            frozenset(self.field("left_records") or ()),
            frozenset(self.field("right_records") or ()),
            self.field("left_id"),
        )


def _verdict(row: Any) -> Verdict:
    return Verdict(row["company_id"], row["verdict_id"], rows.register(row, VERDICT_FIELDS))


async def load(conn: db.Connection, keys: Collection[OrgKey]) -> dict[OrgKey, Verdict]:
    if not keys:
        return {}
    found = await conn.fetch(LOAD, *db.columns(list(keys), 2))
    return {verdict.key: verdict for verdict in map(_verdict, found)}


async def save(conn: db.Connection, verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        return
    await conn.execute(UPSERT, *db.columns([_cells(verdict) for verdict in verdicts], 19))
    await conn.execute(FORGET_MEMBERS, *db.columns([v.key for v in verdicts], 2))
    members = [(v.company_id, ref, v.verdict_id) for v in verdicts for ref in set(v.refs)]
    await conn.execute(ADD_MEMBERS, *db.columns(members, 3))


async def spoken_of_in(conn: db.Connection, companies: Collection[int]) -> set[int]:
    """The tenants that have verdicts."""
    return {row[0] for row in await conn.fetch(SPOKEN_OF_IN, list(companies))}


async def naming(
    conn: db.Connection | db.Pool, records: Collection[OrgKey], unsaved: Collection[Key] = ()
) -> list[Verdict]:
    """All verdicts on records, and on what was merged into them in Pipedrive. `unsaved` are the
    Pipedrive ids of those among them that have no row yet.
    """
    if not records:
        return []
    asked = (*db.columns(list(records), 2), *db.columns(list(unsaved), 2))
    return [_verdict(row) for row in await conn.fetch(NAMING, *asked)]


async def one(conn: db.Connection | db.Pool, company_id: int, verdict_id: UUID) -> Verdict | None:
    row = await conn.fetchrow(ONE, company_id, verdict_id)
    return _verdict(row) if row else None


async def newest_version(conn: db.Connection, company_id: int) -> int:
    """Of all decisions and withdrawals; 0 if there are none."""
    found: int = await conn.fetchval(NEWEST_VERSION, company_id)
    return found


async def newest_merges(
    conn: db.Connection | db.Pool, company_id: int, limit: int, offset: int
) -> tuple[list[tuple[Verdict, Sequence[UUID]]], int]:
    """Newest first, withdrawn ones included, each with the present organizations of its records;
    and how many there are.
    """
    found = await conn.fetch(NEWEST, company_id, limit, offset)
    merges = [(_verdict(row), row["homes"] or ()) for row in found]
    return merges, await conn.fetchval(COUNT, company_id)


def _cells(verdict: Verdict) -> tuple[Any, ...]:
    fields = dict(verdict.register.fields)
    for side in ("left_records", "right_records"):
        if fields[side] is not None:
            fields[side] = f"{{{','.join(map(str, fields[side]))}}}"
    held = Register(verdict.register.stamp, verdict.register.deleted, fields, verdict.register.lag)
    return (*verdict.key, *rows.cells(held, VERDICT_FIELDS))
