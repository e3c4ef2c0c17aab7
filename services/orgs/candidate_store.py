"""SQL that finds whom a record may be the same organization as: its candidates. None commits.

Rule 1: by name, former names among them, by core key, by domain, then the nearest by trigram.
Rule 2: one record stands for all of its organization that are spelled alike.
Rule 3: every look-up has a limit, however many records share a key.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import alias_store, names, record_store
from services.orgs.alias_store import Alias
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.matching import meeting
from shared import db

NEAREST = 50
OF_A_KEY = 20

UNASKED = """
SELECT *
  FROM records
 WHERE unasked
 ORDER BY company_id, record_id
 LIMIT $1
"""

ASK_ANEW = """
UPDATE records r
   SET unasked = true
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id AND NOT r.unasked
"""

# A record that changed meanwhile stays unasked.
ASKED = """
UPDATE records r
   SET unasked = false
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[])
       AS k (company_id, record_id, version, event_id, home)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id AND r.version = k.version
   AND r.event_id = k.event_id AND r.organization_id IS NOT DISTINCT FROM k.home AND r.unasked
"""

BY_CORE = """
SELECT k.company_id, k.asker, r.record_id
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[])
       AS k (company_id, asker, home, core_key)
 CROSS JOIN LATERAL (
       SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
         FROM records
        WHERE company_id = k.company_id AND core_key = k.core_key AND NOT deleted
          AND organization_id IS DISTINCT FROM k.home
        GROUP BY organization_id, name_key
        LIMIT $5) AS r
"""

BY_DOMAIN = """
SELECT k.company_id, k.asker, r.record_id
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[])
       AS k (company_id, asker, home, domain)
 CROSS JOIN LATERAL (
       SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
         FROM records
        WHERE company_id = k.company_id AND domain = k.domain AND NOT deleted
          AND organization_id IS DISTINCT FROM k.home
        GROUP BY organization_id, name_key
        LIMIT $5) AS r
"""

ALIKE = """
SELECT k.company_id, k.asker, r.record_id
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[])
       AS k (company_id, asker, home, telling)
 CROSS JOIN LATERAL (
       SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
         FROM records
        WHERE company_id = k.company_id AND telling % k.telling AND NOT deleted
          AND organization_id IS DISTINCT FROM k.home
        GROUP BY organization_id, name_key, telling
        ORDER BY similarity(telling, k.telling) DESC, 1
        LIMIT $5) AS r
"""


class Found(NamedTuple):
    """Who may be meant by each record, as far as it is stored, and their names of all times."""

    candidates: dict[OrgKey, list[Record]]
    names: dict[OrgKey, list[Alias]]


async def unasked(conn: db.Connection, limit: int) -> list[Record]:
    return [record_store.read(row) for row in await conn.fetch(UNASKED, limit)]


async def ask_anew(conn: db.Connection, records: Collection[OrgKey]) -> None:
    if records:
        await conn.execute(ASK_ANEW, *db.columns(list(records), 2))


async def asked(conn: db.Connection, records: Collection[Record]) -> None:
    cells = [
        (r.company_id, r.record_id, r.register.stamp.version, r.register.stamp.event_id, r.home)
        for r in records
    ]
    await conn.execute(ASKED, *db.columns(cells, 5))


async def near(
    conn: db.Connection, records: Sequence[Record], known: Collection[tuple[OrgKey, OrgKey]] = ()
) -> Found:
    """Candidates of living records in other organizations; `known` are some by other means."""
    pairs: set[tuple[OrgKey, OrgKey]] = set(known)
    pairs |= await _by_keys(conn, records)
    own = await alias_store.of_records(conn, [r.key for r in records])
    pairs |= await _by_names(conn, records, own)
    wanted = {other for _, other in pairs}
    loaded = await record_store.load(conn, wanted)
    candidates: dict[OrgKey, list[Record]] = {}
    homes = {record.key: record.home for record in records}
    for asker, other in sorted(pairs):
        record = loaded.get(other)
        if record is not None and record.lives and record.home != homes.get(asker, record.home):
            candidates.setdefault(asker, []).append(record)
    return Found(candidates, own | await alias_store.of_records(conn, loaded.keys() - own.keys()))


async def _by_keys(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    found: set[tuple[OrgKey, OrgKey]] = set()
    looked: tuple[tuple[str, list[Any], int], ...] = (
        (
            BY_CORE,
            [(r, _core_id(r)) for r in records],
            OF_A_KEY,
        ),
        (BY_DOMAIN, [(r, r.profile.domain) for r in records], OF_A_KEY),
        (ALIKE, [(r, meeting.telling(r.profile)) for r in records], NEAREST),
    )
    for statement, keyed, limit in looked:
        cells = [(r.company_id, r.record_id, r.home, key) for r, key in keyed if key is not None]
        if cells:
            for company_id, asker, other in await conn.fetch(
                statement, *db.columns(cells, 4), limit
            ):
                found.add(((company_id, asker), (company_id, other)))
    return found


def _core_id(record: Record) -> UUID | None:
    return names.core_id(record.company_id, record.profile.name.core)


async def _by_names(
    conn: db.Connection, records: Sequence[Record], own: dict[OrgKey, list[Alias]]
) -> set[tuple[OrgKey, OrgKey]]:
    """Who has or had a name that the record has or had."""
    wanted: dict[OrgKey, set[OrgKey]] = {}
    for record in records:
        for alias in own.get(record.key, ()):
            wanted.setdefault((alias.company_id, alias.name_key), set()).add(record.key)
        if record.name_key is not None:
            wanted.setdefault((record.company_id, record.name_key), set()).add(record.key)
    found: set[tuple[OrgKey, OrgKey]] = set()
    for company_id, name_key, record_id in await alias_store.holders(
        conn, wanted.keys(), OF_A_KEY
    ):
        found |= {(asker, (company_id, record_id)) for asker in wanted[company_id, name_key]}
    return found
