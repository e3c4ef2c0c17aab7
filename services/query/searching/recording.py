"""What the projector queues for the search index, in the transaction of the change.

Rule 1: any change of what a contact is found by is queued for its owner, before and after; the
        indexer reads the contact itself, so entries need not say what changed.
Rule 2: a contact's place in the list is written to its slot at once; a contact without a slot is
        queued instead, since the indexer may just be assigning it one from older rows.
Rule 3: nothing is queued for users who neither have an index nor are about to.
Rule 4: call after the contacts and the organizations were written.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from services.query.batch import User
from services.query.contact import SECOND, UNKNOWN, Contact, Key
from services.query.projection import MovedOrganization
from shared import ids
from shared.db import Connection, columns

QUEUE_ORGANIZATIONS: Final = """
INSERT INTO search_pending (company_id, owner_id, organization_id)
SELECT company_id, owner_id, organization_id
  FROM user_organizations
  JOIN unnest($1::bigint[], $2::uuid[]) AS renamed (company_id, organization_id)
 USING (company_id, organization_id)
  JOIN search_users USING (company_id, owner_id)
 WHERE contacts > 0
 ORDER BY company_id, owner_id, organization_id
"""

# Contacts whose searched text has changed ($1 to $3), and those whose place has ($4).
RECORD: Final = """
WITH standing AS MATERIALIZED (
    SELECT company_id, owner_id, contact_id, not_in_campaign, score, contacted_key, created_key
      FROM contacts
     WHERE contact_id = ANY($4::uuid[]) AND listed
), moved AS (
    UPDATE search_slots AS slot
       SET not_in_campaign = standing.not_in_campaign, score = standing.score,
           contacted_key = standing.contacted_key, created_key = standing.created_key
      FROM standing
     WHERE slot.company_id = standing.company_id AND slot.owner_id = standing.owner_id
       AND slot.contact_id = standing.contact_id
    RETURNING new.company_id, new.owner_id, new.contact_id, new.slot,
              (old.not_in_campaign, old.score) <> (new.not_in_campaign, new.score) AS elsewhere
), elsewhere AS (
    INSERT INTO search_moved (company_id, owner_id, slot)
    SELECT company_id, owner_id, slot FROM moved WHERE elsewhere
)
INSERT INTO search_pending (company_id, owner_id, contact_id)
SELECT company_id, owner_id, contact_id
  FROM (SELECT *
          FROM unnest($1::bigint[], $2::bigint[], $3::uuid[])
               AS changed (company_id, owner_id, contact_id)
         UNION ALL
        SELECT company_id, owner_id, contact_id
          FROM standing
         WHERE contact_id NOT IN (SELECT contact_id FROM moved)) AS waiting
  JOIN search_users USING (company_id, owner_id)
"""


async def record(
    conn: Connection,
    before: Mapping[Key, Contact],
    after: Mapping[Key, Contact],
    organizations: Sequence[MovedOrganization],
) -> None:
    """`organizations` are those that look different."""
    queued: list[tuple[int, int, UUID]] = []
    moved: list[UUID] = []
    for key in sorted(after):
        was, row = before.get(key, UNKNOWN), after[key]
        users = affected(key, was, row)
        if users:
            contact_id = ids.contact(*key)
            queued.extend((user.company_id, user.user_id or 0, contact_id) for user in users)
        if row.owner is not None and row.owner == was.owner and _place(row) != _place(was):
            moved.append(ids.contact(*key))
    if queued or moved:
        await conn.execute(RECORD, *columns(queued, 3), moved)
    renamed = [(o.company_id, o.organization_id) for o in organizations if o.is_renamed]
    if renamed:
        await conn.execute(QUEUE_ORGANIZATIONS, *columns(renamed, 2))


def affected(key: Key, was: Contact, row: Contact) -> Iterable[User]:
    """The users in whose index the contact has to be updated."""
    owners = {owner for owner in (was.owner, row.owner) if owner is not None}
    if not owners or (was.owner == row.owner and _text(row) == _text(was)):
        return ()
    return [User(key.company_id, owner) for owner in sorted(owners)]


def _text(row: Contact) -> tuple[Any, ...]:
    fields = row.person.fields
    return fields["name"], fields["email"], fields["phone"], row.link.organization_id


def _place(row: Contact) -> tuple[Any, ...]:
    fields = row.person.fields
    added = fields["add_time"] or fields["update_time"] or row.person.stamp.version // SECOND
    return row.campaign.added, row.score.score, row.score.last_contacted, added
