"""SQL that moves the counters of users, in the projector's transaction.

Rule 1: the moves are computed from what was read after its persons and organizations were locked,
        and before the batch is written.
Rule 2: users' counters are moved in one order everywhere, as they are all that two batches share.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from services.query import tallies
from services.query.batch import Count, Organization, Share, User, sorted_moves
from services.query.contact import Contact, Key
from services.query.tallies import Held, Kind, ShareMove, Tally, Totals, Transfer
from shared.db import Connection, columns
from shared.register import Register

# The activities of the roots ($1, $2), and of all who were merged into them, except persons that
# the batch touches ($3, $4): they are roots themselves, or their activities stay.
HELD = """
WITH RECURSIVE touched AS MATERIALIZED (
    SELECT * FROM unnest($3::bigint[], $4::bigint[]) AS each (company_id, person_id)
), member (company_id, root, person_id) AS (
    SELECT company_id, person_id, person_id
      FROM unnest($1::bigint[], $2::bigint[]) AS each (company_id, person_id)
     UNION
    SELECT member.company_id, member.root, loser.person_id
      FROM member
      JOIN contacts AS loser
        ON loser.company_id = member.company_id AND loser.merged_into = member.person_id
       AND loser.deleted
     WHERE NOT EXISTS (
           SELECT FROM touched
            WHERE touched.company_id = loser.company_id AND touched.person_id = loser.person_id)
)
SELECT member.company_id, member.root, own.due_date, own.add_time, own.type, own.done
  FROM member
  JOIN activities AS own
    ON own.company_id = member.company_id AND own.person_id = member.person_id
   AND NOT own.deleted
"""

MOVE_SHARES = """
INSERT INTO user_organizations AS held
       (company_id, organization_id, owner_id, contacts, living, sort_name, fewest)
SELECT moved.*, coalesce(NOT o.deleted, false), coalesce(o.sort_name, ''),
       coalesce(-o.contact_count, 0)
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])
       AS moved (company_id, organization_id, owner_id, contacts)
  LEFT JOIN organizations AS o USING (company_id, organization_id)
    ON CONFLICT (company_id, organization_id, owner_id) DO UPDATE
   SET contacts = held.contacts + EXCLUDED.contacts
RETURNING new.company_id, new.owner_id, coalesce(old.contacts, 0), new.contacts,
          new.living, new.living
"""

# The organization's name, number of contacts and existence, copied to each user's share of it.
SYNC_SHARES = """
UPDATE user_organizations AS share
   SET living = NOT o.deleted, sort_name = o.sort_name, fewest = -o.contact_count
  FROM unnest($1::bigint[], $2::uuid[]) AS told (company_id, organization_id)
  JOIN organizations AS o USING (company_id, organization_id)
 WHERE share.company_id = o.company_id AND share.organization_id = o.organization_id
   AND (share.living, share.sort_name, share.fewest)
       IS DISTINCT FROM (NOT o.deleted, o.sort_name, -o.contact_count)
RETURNING new.company_id, new.owner_id, old.contacts, new.contacts, old.living, new.living
"""

# The counters of users, which nearly every batch moves: one round trip.
MOVE = """
WITH contacts AS (
    INSERT INTO user_counts AS held
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::smallint[], $5::bigint[])
        ON CONFLICT (company_id, owner_id, not_in_campaign, score) DO UPDATE
       SET contacts = held.contacts + EXCLUDED.contacts
), totals AS (
    INSERT INTO user_totals AS held
    SELECT * FROM unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
        ON CONFLICT (company_id, owner_id) DO UPDATE
       SET organizations = held.organizations + EXCLUDED.organizations,
           linked = held.linked + EXCLUDED.linked
)
INSERT INTO user_activities AS held
SELECT * FROM unnest($10::bigint[], $11::bigint[], $12::date[], $13::text[], $14::boolean[],
                     $15::bigint[])
    ON CONFLICT (company_id, owner_id, week, type, done) DO UPDATE
   SET activities = held.activities + EXCLUDED.activities
"""


async def activity_moves(
    conn: Connection,
    contacts: tuple[Mapping[Key, Contact], Mapping[Key, Contact]],
    activities: tuple[Mapping[Key, Register], Mapping[Key, Register]],
) -> Counter[Tally]:
    """For rows before and after the batch. Call before anything is written."""
    before, after = contacts
    transfer = tallies.transfer(before, after)
    moves = tallies.told({**before, **after}, *activities)
    if transfer.roots:
        moves.update(tallies.handed_over(transfer, await _held(conn, transfer)))
    return moves


async def _held(conn: Connection, transfer: Transfer) -> list[Held]:
    rows = await conn.fetch(
        HELD, *columns(list(transfer.roots), 2), *columns(list(transfer.touched), 2)
    )
    return [Held(Key(row[0], row[1]), Kind(*row[2:])) for row in rows]


async def move_shares(conn: Connection, shares: Mapping[Share, int]) -> list[ShareMove]:
    if not shares:
        return []
    rows = await conn.fetch(MOVE_SHARES, *columns(sorted_moves(shares), 4))
    return [_share_move(row) for row in rows]


async def sync_shares(conn: Connection, organizations: Iterable[Organization]) -> list[ShareMove]:
    """Call once the organizations are written."""
    named = sorted(organizations)
    if not named:
        return []
    rows = await conn.fetch(SYNC_SHARES, *columns(named, 2))
    return [_share_move(row) for row in rows]


def _share_move(row: asyncpg.Record) -> ShareMove:
    return ShareMove(User(row[0], row[1]), *row[2:])


async def move(
    conn: Connection,
    contacts: Mapping[Count, int],
    activities: Mapping[Tally, int],
    shares: Iterable[ShareMove],
) -> None:
    totals: Sequence[tuple[Any, ...]] = sorted(
        (*user, of_user.organizations, of_user.linked)
        for user, of_user in tallies.totals(shares).items()
        if of_user != Totals()
    )
    counts = sorted_moves(contacts)
    tallied = sorted_moves({tally: by for tally, by in activities.items() if by})
    if counts or totals or tallied:
        await conn.execute(MOVE, *columns(counts, 5), *columns(totals, 4), *columns(tallied, 6))
