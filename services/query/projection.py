"""SQL of the projector. Every function takes the caller's transaction; none commits.

Rule: rows are written in the order of their keys, and read after their keys were locked.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from services.query.batch import Organization, User
from services.query.contact import (
    ACTIVITY_FIELDS,
    PERSON_FIELDS,
    Campaign,
    Contact,
    Key,
    Link,
    Score,
)
from services.query.live.touched import Seen
from shared import db, ids, locks, states
from shared.db import Connection, columns
from shared.register import Register, Stamp, decode_lag, encode_lag

ACTIVITY_LOCKS: Final = 0x5141
PERSON_LOCKS: Final = 0x5150
ORGANIZATION_LOCKS: Final = 0x514F

CONTACTS = """
SELECT company_id, person_id, version, rank, event_id, deleted, lag,
       owner_id, name, email, phone, job_title, custom_job_title, add_time, update_time,
       merged_into, link_version, organization_id, score_version, score, last_contacted,
       campaign_version, campaign_rank, campaign_event_id, added_to_campaign
  FROM contacts
 WHERE contact_id = ANY($1::uuid[])
"""

# All columns of a row, whichever topic they come from: one statement for the whole batch, and one
# new version of a row that several topics changed. The rows were locked, and read after that.
WRITE_CONTACTS = """
INSERT INTO contacts (contact_id, company_id, person_id, version, rank, event_id, deleted, lag,
                      owner_id, name, email, phone, job_title, custom_job_title,
                      add_time, update_time, merged_into,
                      link_version, organization_id, score_version, score, last_contacted,
                      campaign_version, campaign_rank, campaign_event_id, added_to_campaign)
SELECT *
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[],
              $7::boolean[], $8::jsonb[], $9::bigint[], $10::text[], $11::text[], $12::text[],
              $13::text[], $14::text[], $15::timestamptz[], $16::timestamptz[], $17::bigint[],
              $18::bigint[], $19::uuid[], $20::bigint[], $21::smallint[], $22::timestamptz[],
              $23::bigint[], $24::smallint[], $25::text[], $26::boolean[])
    ON CONFLICT (contact_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, owner_id = EXCLUDED.owner_id,
       name = EXCLUDED.name, email = EXCLUDED.email, phone = EXCLUDED.phone,
       job_title = EXCLUDED.job_title, custom_job_title = EXCLUDED.custom_job_title,
       add_time = EXCLUDED.add_time, update_time = EXCLUDED.update_time,
       merged_into = EXCLUDED.merged_into,
       link_version = EXCLUDED.link_version, organization_id = EXCLUDED.organization_id,
       score_version = EXCLUDED.score_version, score = EXCLUDED.score,
       last_contacted = EXCLUDED.last_contacted,
       campaign_version = EXCLUDED.campaign_version, campaign_rank = EXCLUDED.campaign_rank,
       campaign_event_id = EXCLUDED.campaign_event_id,
       added_to_campaign = EXCLUDED.added_to_campaign
"""

# OFFSET 0: a new store's plan assumes an empty table, and would scan all of it for each wanted
# row.
ACTIVITIES = """
SELECT own.*
  FROM unnest($1::bigint[], $2::bigint[]) AS wanted (company_id, activity_id)
 CROSS JOIN LATERAL (
       SELECT company_id, activity_id, version, rank, event_id, deleted, lag,
              person_id, type, subject, done, due_date, add_time
         FROM activities
        WHERE company_id = wanted.company_id AND activity_id = wanted.activity_id
       OFFSET 0) AS own
"""

WRITE_ACTIVITIES = """
INSERT INTO activities
SELECT *
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[],
              $6::boolean[], $7::jsonb[], $8::bigint[], $9::text[], $10::text[], $11::boolean[],
              $12::date[], $13::timestamptz[])
    ON CONFLICT (company_id, activity_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, person_id = EXCLUDED.person_id,
       type = EXCLUDED.type, subject = EXCLUDED.subject, done = EXCLUDED.done,
       due_date = EXCLUDED.due_date, add_time = EXCLUDED.add_time
"""

# Returns the organizations that look different now; the version itself is not shown.
WRITE_ORGANIZATIONS = """
INSERT INTO organizations AS held
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::boolean[], $5::uuid[], $6::text[],
              $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
              $13::text[], $14::int[], $15::timestamptz[])
    ON CONFLICT (company_id, organization_id) DO UPDATE
   SET version = EXCLUDED.version, deleted = EXCLUDED.deleted,
       merged_into = EXCLUDED.merged_into, name = EXCLUDED.name,
       pipedrive_org_id = EXCLUDED.pipedrive_org_id, industry = EXCLUDED.industry,
       size = EXCLUDED.size, website = EXCLUDED.website, address = EXCLUDED.address,
       country = EXCLUDED.country, city = EXCLUDED.city,
       contact_count = EXCLUDED.contact_count, last_activity = EXCLUDED.last_activity
 WHERE held.version < EXCLUDED.version
RETURNING new.company_id, new.organization_id,
          (old.deleted, old.merged_into, old.name, old.pipedrive_org_id, old.industry, old.size,
           old.website, old.address, old.country, old.city, old.contact_count, old.last_activity)
          IS DISTINCT FROM
          (new.deleted, new.merged_into, new.name, new.pipedrive_org_id, new.industry, new.size,
           new.website, new.address, new.country, new.city, new.contact_count, new.last_activity)
          AS shows_differently,
          old.deleted IS NOT FALSE AND NOT new.deleted AS appears,
          (old.deleted, old.name) IS DISTINCT FROM (new.deleted, new.name) AS is_renamed,
          old.merged_into AS led_to, new.merged_into AS leads_to
"""

USERS_OF_ORGANIZATIONS = """
SELECT company_id, owner_id, organization_id, appears
  FROM user_organizations
  JOIN unnest($1::bigint[], $2::uuid[], $3::boolean[])
       AS moved (company_id, organization_id, appears)
 USING (company_id, organization_id)
 WHERE contacts > 0
"""

WRITE_STATUSES = """
INSERT INTO sync_status AS held
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::bigint[],
                     $6::bigint[])
    ON CONFLICT (company_id) DO UPDATE
   SET version = EXCLUDED.version, state = EXCLUDED.state, last_sync_at = EXCLUDED.last_sync_at,
       processed = EXCLUDED.processed, failed = EXCLUDED.failed
 WHERE held.version < EXCLUDED.version
RETURNING new.company_id
"""

# After a crash, ids that were assigned but not yet on disk are unassigned: such a transaction has
# ended, and Postgres raises an error for an id that it has yet to assign.
SETTLED = """
SELECT number
  FROM unnest($1::text[]) AS opened (number)
 CROSS JOIN (SELECT pg_current_xact_id() AS newest OFFSET 0) AS given_out
 WHERE CASE WHEN number::xid8 > newest THEN true
            ELSE pg_xact_status(number::xid8) IS DISTINCT FROM 'in progress' END
"""


class MovedOrganization(NamedTuple):
    """`appears`: it was not shown before. `is_renamed`: nor was it under this name. `led_to` and
    `leads_to` are the organizations that its id stood and stands for, if it is not one itself.
    """

    company_id: int
    organization_id: UUID
    appears: bool
    is_renamed: bool
    led_to: UUID | None
    leads_to: UUID | None


async def lock_persons(conn: Connection, keys: Iterable[Key]) -> None:
    await locks.hold(conn, PERSON_LOCKS, keys)


async def try_lock_persons(conn: Connection, keys: Iterable[Key]) -> bool:
    """Without waiting; false if another transaction holds one of them."""
    return await locks.try_hold(conn, PERSON_LOCKS, keys)


async def lock_named(conn: Connection, activities: Iterable[Key], persons: Iterable[Key]) -> None:
    await locks.hold_all(conn, {ACTIVITY_LOCKS: activities, PERSON_LOCKS: persons})


async def lock_organizations(
    conn: Connection, changed: Iterable[Organization], joined: Iterable[Organization]
) -> None:
    """`changed` are those that facts are about; `joined` only gain or lose contacts, which several
    transactions may do at the same time.
    """
    await locks.hold(conn, ORGANIZATION_LOCKS, changed, shared=joined)


async def contacts(conn: Connection, keys: Iterable[Key]) -> dict[Key, Contact]:
    rows = await conn.fetch(CONTACTS, [ids.contact(*key) for key in keys])
    return {Key(row["company_id"], row["person_id"]): _contact(row) for row in rows}


def _contact(row: asyncpg.Record) -> Contact:
    return Contact(
        _register(row, PERSON_FIELDS),
        Link(row["link_version"], row["organization_id"]),
        Score(row["score_version"], row["score"], row["last_contacted"]),
        Campaign(
            Stamp(row["campaign_version"], row["campaign_rank"], row["campaign_event_id"]),
            row["added_to_campaign"],
        ),
    )


def _register(row: asyncpg.Record, names: Sequence[str]) -> Register:
    return Register(
        Stamp(row["version"], row["rank"], row["event_id"]),
        row["deleted"],
        {name: row[name] for name in names},
        decode_lag(row["lag"]),
    )


async def write_contacts(conn: Connection, after: Mapping[Key, Contact]) -> None:
    rows = [_contact_columns(key, after[key]) for key in sorted(after)]
    await _write(conn, WRITE_CONTACTS, rows)


def _contact_columns(key: Key, row: Contact) -> tuple[Any, ...]:
    person = _register_columns(row.person, PERSON_FIELDS)
    campaign = (*row.campaign.stamp, row.campaign.added)
    return (ids.contact(*key), *key, *person, *row.link, *row.score, *campaign)


async def _write(conn: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        await asyncio.sleep(0)  # the driver takes as long again to encode them
        await conn.execute(statement, *columns(rows, len(rows[0])))


def _register_columns(row: Register, names: Sequence[str]) -> tuple[Any, ...]:
    fields = row.fields
    return (*row.stamp, row.deleted, encode_lag(row.lag), *[fields[name] for name in names])


async def activities(conn: Connection, keys: Iterable[Key]) -> dict[Key, Register]:
    rows = await conn.fetch(ACTIVITIES, *columns(list(keys), 2))
    return {
        Key(row["company_id"], row["activity_id"]): _register(row, ACTIVITY_FIELDS) for row in rows
    }


async def write_activities(conn: Connection, after: Mapping[Key, Register]) -> None:
    rows = [(*key, *_register_columns(after[key], ACTIVITY_FIELDS)) for key in sorted(after)]
    await _write(conn, WRITE_ACTIVITIES, rows)


async def write_organizations(
    conn: Connection, states: Mapping[Organization, states.OrganizationState]
) -> list[MovedOrganization]:
    """Returns those that look different now."""
    rows = [
        (
            said.company_id,
            said.organization_id,
            said.version,
            said.deleted,
            said.merged_into,
            said.name,
            said.pipedrive_org_id,
            said.industry,
            said.size,
            said.website,
            said.address,
            said.country,
            said.city,
            said.contact_count,
            said.last_activity,
        )
        for _, said in sorted(states.items(), key=lambda item: item[0])
    ]
    written = await conn.fetch(WRITE_ORGANIZATIONS, *columns(rows, 15))
    return [
        MovedOrganization(
            row["company_id"],
            row["organization_id"],
            row["appears"],
            row["is_renamed"],
            row["led_to"],
            row["leads_to"],
        )
        for row in written
        if row["shows_differently"]
    ]


async def seen_by(conn: Connection, organizations: Sequence[MovedOrganization]) -> list[Seen]:
    """The users who see these organizations, or those that their ids stand for: a request for the
    contacts of such an id shows theirs.
    """
    moved = [(o.company_id, o.organization_id, o.appears) for o in organizations]
    moved += [
        (o.company_id, into, False)
        for o in organizations
        for into in {o.led_to, o.leads_to}
        if into is not None
    ]
    rows = await conn.fetch(USERS_OF_ORGANIZATIONS, *columns(moved, 3))
    return [
        Seen(User(row["company_id"], row["owner_id"]), row["organization_id"], row["appears"])
        for row in rows
    ]


async def write_statuses(conn: Connection, statuses: Iterable[states.SyncStatus]) -> set[User]:
    """Returns those who now see another status: everyone in the company."""
    rows = sorted(
        (s.company_id, s.version, s.state.value, s.last_sync_at, s.processed, s.failed)
        for s in statuses
    )
    if not rows:
        return set()
    written = await conn.fetch(WRITE_STATUSES, *columns(rows, 6))
    return {User(row["company_id"], None) for row in written}


async def settled(conn: Connection, numbers: Sequence[str]) -> set[str]:
    """Those of the transactions that have ended, committed or not."""
    rows = await conn.fetch(SETTLED, numbers)
    return {row["number"] for row in rows}


async def store_id(pool: db.Pool) -> UUID:
    """Identifies this read model among all.

    Raises:
        Unavailable: Postgres is away.
    """
    with db.errors():
        found: UUID = await pool.fetchval("SELECT store_id FROM store")
        return found
