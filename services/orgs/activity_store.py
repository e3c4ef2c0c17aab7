"""SQL of the activities, and of the newest moments derived from them. None commits."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from services.orgs import rows
from services.orgs.effects import OrgKey
from services.orgs.folding import ACTIVITY_FIELDS, Key
from shared import db
from shared.register import Register

LOAD = """
SELECT a.*
  FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, activity_id)
  JOIN activities a USING (company_id, activity_id)
"""

UPSERT = """
INSERT INTO activities (
       company_id, activity_id, version, rank, event_id, deleted, lag,
       person_id, org_id, done, due_date, marked_as_done_time, occurred_at, moment)
SELECT *
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
              $6::boolean[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::boolean[],
              $11::date[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[])
    ON CONFLICT (company_id, activity_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, person_id = EXCLUDED.person_id,
       org_id = EXCLUDED.org_id, done = EXCLUDED.done, due_date = EXCLUDED.due_date,
       marked_as_done_time = EXCLUDED.marked_as_done_time,
       occurred_at = EXCLUDED.occurred_at, moment = EXCLUDED.moment
"""

# One index step per contact and per person merged into it, however many activities there are.
CONTACT_MOMENTS = """
UPDATE contacts c
   SET last_moment = fresh.moment
  FROM (SELECT k.company_id, k.person_id,
               CASE WHEN away.root IS DISTINCT FROM k.person_id AND away.root IS NOT NULL
                    THEN NULL
                    ELSE greatest(own.moment, lost.moment) END AS moment
          FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, person_id)
          LEFT JOIN merges away
            ON away.company_id = k.company_id AND away.kind = 'person' AND away.loser = k.person_id
         CROSS JOIN LATERAL (
               SELECT max(a.moment) AS moment
                 FROM activities a
                WHERE a.company_id = k.company_id AND a.person_id = k.person_id
                  AND a.moment IS NOT NULL) AS own
         CROSS JOIN LATERAL (
               SELECT max(newest.moment) AS moment
                 FROM merges m
                CROSS JOIN LATERAL (
                      SELECT max(a.moment) AS moment
                        FROM activities a
                       WHERE a.company_id = m.company_id AND a.person_id = m.loser
                         AND a.moment IS NOT NULL) AS newest
                WHERE m.company_id = k.company_id AND m.kind = 'person'
                  AND m.root = k.person_id) AS lost) AS fresh
 WHERE c.company_id = fresh.company_id AND c.person_id = fresh.person_id
   AND c.last_moment IS DISTINCT FROM fresh.moment
RETURNING c.company_id, c.organization_id
"""


@dataclass(frozen=True, slots=True)
class Activity:
    company_id: int
    activity_id: int
    register: Register
    moment: datetime | None


async def load(conn: db.Connection, keys: Collection[Key]) -> dict[Key, Activity]:
    found = await conn.fetch(LOAD, *db.columns(list(keys), 2))
    return {
        (row["company_id"], row["activity_id"]): Activity(
            row["company_id"],
            row["activity_id"],
            rows.register(row, ACTIVITY_FIELDS),
            row["moment"],
        )
        for row in found
    }


async def save(conn: db.Connection, activities: Iterable[Activity]) -> None:
    cells = [
        (a.company_id, a.activity_id, *rows.cells(a.register, ACTIVITY_FIELDS), a.moment)
        for a in activities
    ]
    if cells:
        await conn.execute(UPSERT, *db.columns(cells, 14))


async def refresh_contacts(conn: db.Connection, persons: Collection[Key]) -> set[OrgKey]:
    """Update contacts' newest moments; return the organizations whose display that may change."""
    if not persons:
        return set()
    found = await conn.fetch(CONTACT_MOMENTS, *db.columns(list(persons), 2))
    return {(company_id, home) for company_id, home in found if home is not None}
