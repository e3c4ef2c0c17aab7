"""SQL of signals and contacts. Nothing here begins or ends a transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.scoring.bodies import CONTACTED, QUALIFIED
from services.scoring.families import Key
from services.scoring.signals import Dealings, DealSum, Profile
from shared import db, ids

# The persons connected to the given ones by merges, in both directions, as edges. OFFSET 0 keeps
# the last join an index look-up, however many merges there are.
MERGES = """
WITH RECURSIVE kin (company_id, person_id) AS (
    SELECT company_id, person_id
      FROM unnest($1::bigint[], $2::bigint[]) AS asked (company_id, person_id)
     UNION
    SELECT kin.company_id, near.person_id
      FROM kin
     CROSS JOIN LATERAL (
           SELECT merged_into
             FROM persons
            WHERE company_id = kin.company_id AND person_id = kin.person_id
              AND deleted AND merged_into IS NOT NULL
            UNION ALL
           SELECT person_id
             FROM persons
            WHERE company_id = kin.company_id AND merged_into = kin.person_id
              AND deleted AND merged_into IS NOT NULL
           ) AS near (person_id)
)
SELECT kin.company_id, kin.person_id, gone.merged_into
  FROM kin
 CROSS JOIN LATERAL (
       SELECT merged_into
         FROM persons
        WHERE company_id = kin.company_id AND person_id = kin.person_id
          AND deleted AND merged_into IS NOT NULL
       OFFSET 0
       ) AS gone
"""

# Aggregates without GROUP BY, and OFFSET 0, keep each lateral an index look-up, whatever the
# planner assumes about tables that grow faster than they are analyzed.
SIGNALS = """
SELECT wanted.company_id, wanted.person_id,
       person.deleted, person.has_email, person.has_phone, person.org_id, person.job_title,
       person.custom_job_title, person.lead_status, person.response_rate,
       contact.person_id IS NOT NULL AS is_stored, contact.score, contact.points,
       contact.last_contacted, contact.next_change_at, contact.published,
       activity.due_dates, activity.meeting_due, activity.call_due, activity.email_due,
       activity.last_activity, deal.sums, lead.statuses
  FROM unnest($1::bigint[], $2::bigint[]) AS wanted (company_id, person_id)
  LEFT JOIN LATERAL (
       SELECT * FROM persons
        WHERE company_id = wanted.company_id AND person_id = wanted.person_id
       OFFSET 0
       ) AS person ON true
  LEFT JOIN LATERAL (
       SELECT * FROM contacts
        WHERE company_id = wanted.company_id AND person_id = wanted.person_id
       OFFSET 0
       ) AS contact ON true
 CROSS JOIN LATERAL (
       SELECT (array_agg(due_date ORDER BY due_date DESC)
               FILTER (WHERE due_date IS NOT NULL))[1:$3] AS due_dates,
              max(due_date) FILTER (WHERE kind = 'meeting') AS meeting_due,
              max(due_date) FILTER (WHERE kind = 'call') AS call_due,
              max(due_date) FILTER (WHERE kind = 'email') AS email_due,
              max(moment) AS last_activity
         FROM activities
        WHERE company_id = wanted.company_id AND person_id = wanted.person_id AND NOT deleted
       ) AS activity
 CROSS JOIN LATERAL (
       SELECT jsonb_agg(jsonb_build_array(currency, is_lost, amount)) AS sums
         FROM (SELECT coalesce(currency, '') AS currency, coalesce(is_lost, false) AS is_lost,
                      coalesce(sum(amount::numeric), 0) AS amount
                 FROM deals
                WHERE company_id = wanted.company_id AND person_id = wanted.person_id
                  AND NOT deleted
                GROUP BY 1, 2) AS per_currency
       ) AS deal
 CROSS JOIN LATERAL (
       SELECT coalesce(bit_or(coalesce(label_status, 0) | coalesce(custom_status, 0)), 0)
              AS statuses
         FROM leads
        WHERE company_id = wanted.company_id AND person_id = wanted.person_id AND NOT deleted
          AND is_archived IS NOT TRUE
       ) AS lead
"""

UPDATE_CONTACTS = """
UPDATE contacts
   SET score = state.score, points = state.points, last_contacted = state.last_contacted,
       next_change_at = state.next_change_at, published = state.published
  FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::jsonb[], $5::timestamptz[],
              $6::timestamptz[], $7::bigint[])
       AS state (company_id, person_id, score, points, last_contacted, next_change_at, published)
 WHERE contacts.company_id = state.company_id AND contacts.person_id = state.person_id
"""

DUE = """
SELECT company_id, person_id
  FROM contacts
 WHERE next_change_at > $1 AND next_change_at <= $2
 ORDER BY next_change_at
 LIMIT $3
"""

NEXT_DUE = "SELECT min(next_change_at) FROM contacts WHERE next_change_at > $1"

CONTACT = """
SELECT person_id
  FROM contacts
 WHERE company_id = $1 AND contact_id = $2 AND score IS NOT NULL
"""

CONTACT_COLUMNS = (
    "company_id",
    "person_id",
    "contact_id",
    "score",
    "points",
    "last_contacted",
    "next_change_at",
    "published",
)


@dataclass(frozen=True, slots=True)
class State:
    """A contact as stored. Without a score while its person is deleted."""

    score: int | None = None
    points: dict[str, int] | None = None
    last_contacted: datetime | None = None
    next_change_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PersonSignals:
    """One person's signals, and the contact as stored. `profile` is null while it is deleted."""

    is_known: bool
    profile: Profile | None
    dealings: Dealings
    stored: State | None
    published: int


async def merges(conn: db.Connection, persons: Iterable[Key]) -> dict[Key, Key]:
    """Every merge that the persons take part in, directly or through others."""
    rows = await conn.fetch(MERGES, *db.columns(list(persons), 2))
    return {
        (row["company_id"], row["person_id"]): (row["company_id"], row["merged_into"])
        for row in rows
    }


async def signals(
    conn: db.Connection, persons: Sequence[Key], *, keep: int
) -> dict[Key, PersonSignals]:
    """`keep`: how many due dates at most."""
    rows = await conn.fetch(SIGNALS, *db.columns(persons, 2), keep)
    return {(row["company_id"], row["person_id"]): _person(row) for row in rows}


async def add_contacts(conn: db.Connection, added: Sequence[tuple[Key, State, int]]) -> None:
    """Each with the version it was last published under, 0 for never. None may exist yet: the
    caller holds their locks and has checked.
    """
    rows = [(*key, ids.contact(*key), *_columns(state), version) for key, state, version in added]
    await conn.copy_records_to_table("contacts", records=rows, columns=CONTACT_COLUMNS)


async def update_contacts(conn: db.Connection, kept: Sequence[tuple[Key, State, int]]) -> None:
    rows = [(*key, *_columns(state), version) for key, state, version in kept]
    await conn.execute(UPDATE_CONTACTS, *db.columns(rows, 7))


async def due(conn: db.Connection, after: datetime, now: datetime, limit: int) -> list[Key]:
    rows = await conn.fetch(DUE, after, now, limit)
    return [(row["company_id"], row["person_id"]) for row in rows]


async def next_due(conn: db.Connection, after: datetime) -> datetime | None:
    at: datetime | None = await conn.fetchval(NEXT_DUE, after)
    return at


async def person_of(conn: db.Connection, company_id: int, contact_id: UUID) -> Key | None:
    """Null if no living contact of this company has the id."""
    person_id = await conn.fetchval(CONTACT, company_id, contact_id)
    return None if person_id is None else (company_id, person_id)


def _columns(state: State) -> tuple[Any, ...]:
    return (state.score, state.points, state.last_contacted, state.next_change_at)


def _person(row: asyncpg.Record) -> PersonSignals:
    due_dates: list[date] | None = row["due_dates"]
    dealings = Dealings(
        tuple(due_dates or ()),
        row["meeting_due"],
        row["call_due"],
        row["email_due"],
        row["last_activity"],
        tuple(sorted(DealSum(*each) for each in row["sums"] or ())),
        bool(row["statuses"] & QUALIFIED),
        bool(row["statuses"] & CONTACTED),
    )
    return PersonSignals(
        row["deleted"] is not None,
        None if row["deleted"] in {None, True} else _profile(row),
        dealings,
        _state(row) if row["is_stored"] else None,
        row["published"] or 0,
    )


def _profile(row: asyncpg.Record) -> Profile:
    status = row["lead_status"] or 0
    return Profile(
        bool(row["has_email"]),
        bool(row["has_phone"]),
        row["org_id"],
        row["job_title"] or row["custom_job_title"],
        bool(status & QUALIFIED),
        bool(status & CONTACTED),
        row["response_rate"],
    )


def _state(row: asyncpg.Record) -> State:
    return State(row["score"], row["points"], row["last_contacted"], row["next_change_at"])
