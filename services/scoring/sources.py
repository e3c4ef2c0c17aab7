"""The tables that the log is written to: for each topic its SQL, its columns, and what counts.

Rule: what counts is everything in a row that a score can depend on, so two rows that count the
same leave every score as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.scoring import bodies
from shared import topics
from shared.register import Register
from shared.tenants import Tenant

Fields: TypeAlias = Mapping[str, Any]

STAMPED = ("version", "rank", "event_id", "deleted", "lag")

LOAD_PERSONS = """
SELECT company_id, person_id AS id, version, rank, event_id, deleted, lag, has_email, has_phone,
       org_id, job_title, custom_job_title, lead_status, response_rate, merged_into
  FROM unnest($1::bigint[], $2::bigint[]) AS wanted (company_id, person_id)
  JOIN persons USING (company_id, person_id)
"""

SAVE_PERSONS = """
INSERT INTO persons (company_id, person_id, version, rank, event_id, deleted, lag, has_email,
                     has_phone, org_id, job_title, custom_job_title, lead_status, response_rate,
                     merged_into)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
                     $6::boolean[], $7::jsonb[], $8::boolean[], $9::boolean[], $10::bigint[],
                     $11::text[], $12::text[], $13::smallint[], $14::float8[], $15::bigint[])
    ON CONFLICT (company_id, person_id) DO UPDATE
   SET (version, rank, event_id, deleted, lag, has_email, has_phone, org_id, job_title,
        custom_job_title, lead_status, response_rate, merged_into)
     = (EXCLUDED.version, EXCLUDED.rank, EXCLUDED.event_id, EXCLUDED.deleted, EXCLUDED.lag,
        EXCLUDED.has_email, EXCLUDED.has_phone, EXCLUDED.org_id, EXCLUDED.job_title,
        EXCLUDED.custom_job_title, EXCLUDED.lead_status, EXCLUDED.response_rate,
        EXCLUDED.merged_into)
"""

LOAD_ACTIVITIES = """
SELECT company_id, activity_id AS id, version, rank, event_id, deleted, lag, person_id, kind,
       due_date, done, done_at, occurred_at
  FROM unnest($1::bigint[], $2::bigint[]) AS wanted (company_id, activity_id)
  JOIN activities USING (company_id, activity_id)
"""

SAVE_ACTIVITIES = """
INSERT INTO activities (company_id, activity_id, version, rank, event_id, deleted, lag, person_id,
                        kind, due_date, done, done_at, occurred_at, moment)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
                     $6::boolean[], $7::jsonb[], $8::bigint[], $9::text[], $10::date[],
                     $11::boolean[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[])
    ON CONFLICT (company_id, activity_id) DO UPDATE
   SET (version, rank, event_id, deleted, lag, person_id, kind, due_date, done, done_at,
        occurred_at, moment)
     = (EXCLUDED.version, EXCLUDED.rank, EXCLUDED.event_id, EXCLUDED.deleted, EXCLUDED.lag,
        EXCLUDED.person_id, EXCLUDED.kind, EXCLUDED.due_date, EXCLUDED.done, EXCLUDED.done_at,
        EXCLUDED.occurred_at, EXCLUDED.moment)
"""

LOAD_DEALS = """
SELECT company_id, deal_id AS id, version, rank, event_id, deleted, lag, person_id, amount,
       currency, is_lost
  FROM unnest($1::bigint[], $2::bigint[]) AS wanted (company_id, deal_id)
  JOIN deals USING (company_id, deal_id)
"""

SAVE_DEALS = """
INSERT INTO deals (company_id, deal_id, version, rank, event_id, deleted, lag, person_id, amount,
                   currency, is_lost)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
                     $6::boolean[], $7::jsonb[], $8::bigint[], $9::float8[], $10::text[],
                     $11::boolean[])
    ON CONFLICT (company_id, deal_id) DO UPDATE
   SET (version, rank, event_id, deleted, lag, person_id, amount, currency, is_lost)
     = (EXCLUDED.version, EXCLUDED.rank, EXCLUDED.event_id, EXCLUDED.deleted, EXCLUDED.lag,
        EXCLUDED.person_id, EXCLUDED.amount, EXCLUDED.currency, EXCLUDED.is_lost)
"""

LOAD_LEADS = """
SELECT company_id, lead_id AS id, version, rank, event_id, deleted, lag, person_id, is_archived,
       label_status, custom_status
  FROM unnest($1::bigint[], $2::text[]) AS wanted (company_id, lead_id)
  JOIN leads USING (company_id, lead_id)
"""

SAVE_LEADS = """
INSERT INTO leads (company_id, lead_id, version, rank, event_id, deleted, lag, person_id,
                   is_archived, label_status, custom_status)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::smallint[], $5::text[],
                     $6::boolean[], $7::jsonb[], $8::bigint[], $9::boolean[], $10::smallint[],
                     $11::smallint[])
    ON CONFLICT (company_id, lead_id) DO UPDATE
   SET (version, rank, event_id, deleted, lag, person_id, is_archived, label_status,
        custom_status)
     = (EXCLUDED.version, EXCLUDED.rank, EXCLUDED.event_id, EXCLUDED.deleted, EXCLUDED.lag,
        EXCLUDED.person_id, EXCLUDED.is_archived, EXCLUDED.label_status, EXCLUDED.custom_status)
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One topic and its table. `derived` are columns computed from the row; `counts` is null if
    nothing in the row counts.
    """

    topic: str
    table: str
    key: str
    load: str
    save: str
    fields: tuple[str, ...]
    carry: Callable[[Any, Tenant], dict[str, Any]]
    counts: Callable[[Register], Fields | None]
    has_numbers: bool = True
    derived: Callable[[Register], tuple[Any, ...]] = lambda _: ()
    derived_fields: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return ("company_id", self.key, *STAMPED, *self.fields, *self.derived_fields)


def _person_counts(row: Register) -> Fields:
    """A person counts even when deleted: its contact then has no score."""
    if row.deleted:
        return {"deleted": True, "merged_into": row.fields["merged_into"]}
    return {**row.fields, "merged_into": None}


def _activity_counts(row: Register) -> Fields | None:
    if not _is_someones(row):
        return None
    counted = {name: row.fields[name] for name in ("person_id", "kind", "due_date")}
    counted["moment"] = bodies.moment(row.fields)
    has_time = counted["due_date"] is not None or counted["moment"] is not None
    return counted if has_time else None


def _deal_counts(row: Register) -> Fields | None:
    return row.fields if _is_someones(row) and row.fields["amount"] else None


def _lead_counts(row: Register) -> Fields | None:
    has_status = row.fields["label_status"] or row.fields["custom_status"]
    is_open = not row.fields["is_archived"]
    return row.fields if _is_someones(row) and is_open and has_status else None


def _is_someones(row: Register) -> bool:
    return not row.deleted and row.fields["person_id"] is not None


def _moment(row: Register) -> tuple[Any, ...]:
    return (None if row.deleted else bodies.moment(row.fields),)


PERSONS = Source(
    topics.PERSONS.name,
    "persons",
    "person_id",
    LOAD_PERSONS,
    SAVE_PERSONS,
    (
        "has_email",
        "has_phone",
        "org_id",
        "job_title",
        "custom_job_title",
        "lead_status",
        "response_rate",
        "merged_into",
    ),
    bodies.person,
    _person_counts,
)
ACTIVITIES = Source(
    topics.ACTIVITIES.name,
    "activities",
    "activity_id",
    LOAD_ACTIVITIES,
    SAVE_ACTIVITIES,
    ("person_id", "kind", "due_date", "done", "done_at", "occurred_at"),
    bodies.activity,
    _activity_counts,
    derived=_moment,
    derived_fields=("moment",),
)
DEALS = Source(
    topics.DEALS.name,
    "deals",
    "deal_id",
    LOAD_DEALS,
    SAVE_DEALS,
    ("person_id", "amount", "currency", "is_lost"),
    bodies.deal,
    _deal_counts,
)
LEADS = Source(
    topics.LEADS.name,
    "leads",
    "lead_id",
    LOAD_LEADS,
    SAVE_LEADS,
    ("person_id", "is_archived", "label_status", "custom_status"),
    bodies.lead,
    _lead_counts,
    has_numbers=False,
)
ALL = (PERSONS, ACTIVITIES, DEALS, LEADS)
