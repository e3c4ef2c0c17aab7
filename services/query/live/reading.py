"""Reads the present state of what changed, for many users at once.

Rule 1: the changes and their subjects are read in one snapshot, which is the stream's place
        afterwards; so its events and a page read under the same snapshot agree.
Rule 2: what is read at once is bounded, however many users a change affects. Users who would
        exceed the bound are told to read everything again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.query import answers
from services.query.batch import User
from services.query.live.events import RESET, News
from services.query.live.touched import MOST_NAMES, Names
from services.query.store import NEWEST
from shared import ids
from shared.db import Connection, columns

CONTACTS: Final = """
SELECT * FROM shown_contacts WHERE contact_id = ANY($1::uuid[]) AND listed
"""

MOST_READ: Final = 3_000
"""Most contacts and organizations read at once."""

# The persons behind a user's contacts in an organization.
CONTACTS_IN: Final = """
SELECT asked.place, contact.person_id
  FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::uuid[])
       AS asked (place, company_id, user_id, organization_id)
 CROSS JOIN LATERAL (
       SELECT person_id
         FROM contacts
        WHERE company_id = asked.company_id AND owner_id = asked.user_id AND listed
          AND organization_id = asked.organization_id
        LIMIT $5) AS contact
 LIMIT $6
"""

# As for the page, but for contacts of any companies.
ACTIVITIES: Final = """
WITH RECURSIVE member (company_id, contact, person_id) AS (
    SELECT company_id, person_id, person_id
      FROM unnest($1::bigint[], $2::bigint[]) AS shown (company_id, person_id)
     UNION
    SELECT member.company_id, member.contact, loser.person_id
      FROM member
      JOIN contacts AS loser
        ON loser.company_id = member.company_id AND loser.merged_into = member.person_id
       AND loser.deleted
), ranked AS (
    SELECT member.company_id, member.contact, own.*,
           row_number() OVER (PARTITION BY member.company_id, member.contact
                              ORDER BY own.add_time DESC NULLS LAST, own.activity_id DESC) AS place
      FROM member
     CROSS JOIN LATERAL (
           SELECT activity_id, type, subject, done, due_date, add_time
             FROM activities
            WHERE company_id = member.company_id AND person_id = member.person_id AND NOT deleted
            ORDER BY add_time DESC NULLS LAST, activity_id DESC
            LIMIT $3) AS own
)
SELECT company_id, contact, activity_id, type, subject, done, due_date, add_time
  FROM ranked
 WHERE place <= $3
 ORDER BY company_id, contact, place
"""

ORGANIZATIONS: Final = """
SELECT company_id, organization_id, name AS organization_name, pipedrive_org_id, industry, size,
       website, address, country, city, contact_count, last_activity
  FROM organizations
  JOIN unnest($1::bigint[], $2::uuid[]) AS asked (company_id, organization_id)
 USING (company_id, organization_id)
 WHERE NOT deleted
"""

TOTALS: Final = """
SELECT company_id, owner_id, sum(contacts)::bigint AS total
  FROM user_counts
  JOIN unnest($1::bigint[], $2::bigint[]) AS asked (company_id, owner_id)
 USING (company_id, owner_id)
 GROUP BY company_id, owner_id
"""

STATUSES: Final = """
SELECT company_id, state, last_sync_at, processed, failed
  FROM sync_status
 WHERE company_id = ANY($1::bigint[])
"""


async def news(conn: Connection, changed: Mapping[User, Names]) -> dict[User, News]:
    """For each user, the present state of what the names name. Adds what they imply to the names,
    such as contacts.
    """
    await _add_contacts_in(conn, changed)
    _bound(changed)
    named = {user: names for user, names in changed.items() if not names.is_too_much}
    contacts = await _contacts(conn, named)
    organizations = await _organizations(conn, named)
    totals = await _totals(conn, [user for user, names in named.items() if names.persons])
    statuses = await _statuses(conn, named)
    return {
        user: RESET
        if user not in named
        else News(
            total=totals.get(user, 0),
            contacts=contacts[user][0],
            removed=contacts[user][1],
            organizations=[
                (each, organizations.get((user.company_id, each)))
                for each in sorted(names.organizations | names.appeared)
            ],
            status=statuses.get(user.company_id) if names.status else None,
        )
        for user, names in changed.items()
    }


async def _add_contacts_in(conn: Connection, changed: Mapping[User, Names]) -> None:
    """Contacts of an organization that appeared did not show it before."""
    users = [user for user, names in changed.items() if names.appeared and not names.is_too_much]
    asked = [
        (place, *user, organization_id)
        for place, user in enumerate(users)
        for organization_id in changed[user].appeared
    ]
    if not asked:
        return
    rows = await conn.fetch(CONTACTS_IN, *columns(asked, 4), MOST_NAMES + 1, MOST_READ + 1)
    if len(rows) > MOST_READ:  # it is unknown which users have more
        for user in users:
            changed[user].everything = True
        return
    for row in rows:
        changed[users[row["place"]]].persons.add(row["person_id"])


def _bound(changed: Mapping[User, Names]) -> None:
    room = MOST_READ
    for names in changed.values():
        if not names.is_too_much:
            room -= names.count
            names.everything = room < 0


Told = tuple[list[dict[str, Any]], list[UUID]]


async def _contacts(conn: Connection, named: Mapping[User, Names]) -> dict[User, Told]:
    """Each user's contacts that are on the list, and the ids of those that are not."""
    asked = {
        ids.contact(user.company_id, number)
        for user, names in named.items()
        for number in names.persons
    }
    rows = await conn.fetch(CONTACTS, list(asked)) if asked else []
    shown = await _shown(conn, rows)
    told: dict[User, Told] = {}
    for user, names in named.items():
        own: list[dict[str, Any]] = []
        removed: list[UUID] = []
        for number in sorted(names.persons):
            owner, contact = shown.get((user.company_id, number), (None, None))
            if contact is not None and owner == user.user_id:
                own.append(contact)
            else:
                removed.append(ids.contact(user.company_id, number))
        told[user] = own, removed
    return told


async def _shown(
    conn: Connection, rows: Sequence[asyncpg.Record]
) -> dict[tuple[int, int], tuple[int, dict[str, Any]]]:
    """By company and person: the owner, and the contact as a page shows it."""
    persons = [(row["company_id"], row["person_id"]) for row in rows]
    activities: Sequence[asyncpg.Record] = ()
    if persons:
        activities = await conn.fetch(ACTIVITIES, *columns(persons, 2), NEWEST)
    of_company = _by_company(activities)
    found = {}
    for company_id, own in _by_company(rows).items():
        contacts = answers.contacts(own, of_company.get(company_id, ()))
        for row, contact in zip(own, contacts, strict=True):
            found[company_id, row["person_id"]] = row["owner_id"], contact
    return found


def _by_company(rows: Iterable[asyncpg.Record]) -> Mapping[int, list[asyncpg.Record]]:
    found: defaultdict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        found[row["company_id"]].append(row)
    return found


async def _organizations(
    conn: Connection, named: Mapping[User, Names]
) -> dict[tuple[int, UUID], dict[str, Any]]:
    asked = {
        (user.company_id, organization_id)
        for user, names in named.items()
        for organization_id in names.organizations | names.appeared
    }
    if not asked:
        return {}
    rows = await conn.fetch(ORGANIZATIONS, *columns(list(asked), 2))
    return {(row["company_id"], row["organization_id"]): answers.organization(row) for row in rows}


async def _totals(conn: Connection, users: Sequence[User]) -> dict[User, int]:
    rows = await conn.fetch(TOTALS, *columns(users, 2)) if users else []
    return {User(row["company_id"], row["owner_id"]): row["total"] for row in rows}


async def _statuses(conn: Connection, named: Mapping[User, Names]) -> dict[int, dict[str, Any]]:
    companies = {user.company_id for user, names in named.items() if names.status}
    rows = await conn.fetch(STATUSES, list(companies)) if companies else []
    return {row["company_id"]: answers.sync_status(row) for row in rows}
