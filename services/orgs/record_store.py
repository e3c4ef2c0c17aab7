"""SQL of the organization records. Every function takes the caller's connection; none commits."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import grouping, names, rows
from services.orgs.effects import OrgKey
from services.orgs.folding import Key
from services.orgs.grouping import FIELDS, Record
from services.orgs.matching import meeting
from services.orgs.matching.keys import KEYS_VERSION
from services.orgs.matching.weights import MATCHER_VERSION
from shared import db

DERIVED_BY = KEYS_VERSION * 1_000 + MATCHER_VERSION
"""What stored keys and links depend on; rows with another number are derived again."""

LOAD = """
SELECT r.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN records r USING (company_id, record_id)
"""

# Moves those whose chain of merges ends at one of the given ids to that end's organization.
TAKE_ALONG = """
UPDATE records r
   SET organization_id = fresh.home
  FROM (SELECT m.company_id, m.loser, CASE WHEN NOT s.deleted THEN s.organization_id END AS home
          FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, root)
          JOIN merges m
            ON m.company_id = k.company_id AND m.kind = 'organization' AND m.root = k.root
          LEFT JOIN records s
            ON s.company_id = m.company_id AND s.pipedrive_org_id = m.root) AS fresh
 WHERE r.company_id = fresh.company_id AND r.pipedrive_org_id = fresh.loser
   AND r.organization_id IS DISTINCT FROM fresh.home
RETURNING r.company_id, r.record_id, r.pipedrive_org_id, old.organization_id AS left_id,
          new.organization_id AS joined_id
"""

UPSERT = """
INSERT INTO records (
       company_id, record_id, pipedrive_org_id, version, rank, event_id, deleted, lag,
       name, industry, size, website, address, country, city, postcode, merged_into, made_by,
       normalized_name, name_key, organization_id, keys_version, core_key, legal_form, numbers,
       domain, country_code, postcode_key, place_key, telling, unasked)
SELECT company_id, record_id, pipedrive_org_id, version, rank, event_id, deleted, lag,
       name, industry, size, website, address, country, city, postcode, merged_into, made_by,
       normalized_name, name_key, organization_id, keys_version, core_key, legal_form,
       numbers::bigint[], domain, country_code, postcode_key, place_key, telling, unasked
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[],
              $7::boolean[], $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::text[],
              $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::bigint[],
              $19::text[], $20::uuid[], $21::uuid[], $22::int[], $23::uuid[], $24::text[],
              $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[],
              $31::boolean[])
       AS r (company_id, record_id, pipedrive_org_id, version, rank, event_id, deleted, lag,
             name, industry, size, website, address, country, city, postcode, merged_into,
             made_by, normalized_name, name_key, organization_id, keys_version, core_key,
             legal_form, numbers, domain, country_code, postcode_key, place_key, telling, unasked)
    ON CONFLICT (company_id, record_id) DO UPDATE
   SET version = EXCLUDED.version, rank = EXCLUDED.rank, event_id = EXCLUDED.event_id,
       deleted = EXCLUDED.deleted, lag = EXCLUDED.lag, name = EXCLUDED.name,
       industry = EXCLUDED.industry, size = EXCLUDED.size, website = EXCLUDED.website,
       address = EXCLUDED.address, country = EXCLUDED.country, city = EXCLUDED.city,
       postcode = EXCLUDED.postcode, merged_into = EXCLUDED.merged_into,
       made_by = EXCLUDED.made_by, normalized_name = EXCLUDED.normalized_name,
       name_key = EXCLUDED.name_key, organization_id = EXCLUDED.organization_id,
       keys_version = EXCLUDED.keys_version, core_key = EXCLUDED.core_key,
       legal_form = EXCLUDED.legal_form, numbers = EXCLUDED.numbers, domain = EXCLUDED.domain,
       country_code = EXCLUDED.country_code, postcode_key = EXCLUDED.postcode_key,
       place_key = EXCLUDED.place_key, telling = EXCLUDED.telling,
       unasked = records.unasked OR EXCLUDED.unasked
"""

# Those that only moved: among other companions they may raise other questions.
REHOME = """
UPDATE records r
   SET organization_id = k.home, unasked = true
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS k (company_id, record_id, home)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id
"""

HOMES = """
SELECT r.company_id, r.pipedrive_org_id, r.organization_id
  FROM unnest($1::bigint[], $2::bigint[]) AS k (company_id, pipedrive_org_id)
  JOIN records r USING (company_id, pipedrive_org_id)
 WHERE r.organization_id IS NOT NULL
"""

WHERE_THEY_BELONG = """
SELECT r.company_id, r.record_id, r.organization_id, r.name_key, r.domain, r.country_code
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN records r USING (company_id, record_id)
"""

# The only organization that has a name, with all that its records state. Looked up once per name:
# of an uninformative one ("Private") thousands may be gone, and thousands exist.
SOLE = """
SELECT k.company_id, k.name_key, sole.organization_id, facts.domains, facts.countries
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, name_key)
 CROSS JOIN LATERAL (
       SELECT (array_agg(n.organization_id))[1] AS organization_id
         FROM (SELECT DISTINCT named.organization_id
                 FROM records named
                WHERE named.company_id = k.company_id AND named.name_key = k.name_key
                  AND NOT named.deleted
                LIMIT 2) AS n
       HAVING count(*) = 1) AS sole
 CROSS JOIN LATERAL (
       SELECT array_agg(DISTINCT o.domain) FILTER (WHERE o.domain IS NOT NULL) AS domains,
              array_agg(DISTINCT o.country_code) FILTER (WHERE o.country_code IS NOT NULL)
                  AS countries
         FROM records o
        WHERE o.company_id = k.company_id AND o.organization_id = sole.organization_id
          AND NOT o.deleted) AS facts
"""

DERIVED_OTHERWISE = """
SELECT company_id, record_id
  FROM records
 WHERE (company_id, record_id) > ($2, $3) AND keys_version <> $1
 ORDER BY company_id, record_id
 LIMIT $4
"""

LIVING_IN = """
SELECT r.*
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
  JOIN records r USING (company_id, organization_id)
 WHERE NOT r.deleted
"""

OF_ORGANIZATION = """
SELECT *
  FROM records
 WHERE company_id = $1 AND organization_id = $2
 ORDER BY pipedrive_org_id NULLS LAST, record_id
"""


class Rehomed(NamedTuple):
    """A record that now belongs elsewhere."""

    company_id: int
    record_id: UUID
    number: int | None
    left: UUID | None
    joined: UUID | None


class Successors(NamedTuple):
    """Where a record belongs, and, if nowhere, the only organization that has its name."""

    home: UUID | None
    named: UUID | None


def read(row: Any) -> Record:
    """From a row that has the table's columns."""
    return grouping.named(
        row["company_id"],
        row["record_id"],
        row["pipedrive_org_id"],
        rows.register(row, FIELDS),
        row["organization_id"],
        row["name_key"] if row["keys_version"] == DERIVED_BY else None,
    )


def derived(record: Record) -> tuple[Any, ...]:
    """The keys by which a record is looked up, in column order."""
    found = record.profile
    name = found.name
    return (
        name.normalized,
        record.name_key,
        record.home,
        DERIVED_BY,
        names.core_id(record.company_id, name.core),
        name.form.spelling or None,
        f"{{{','.join(map(str, sorted(name.numbers)))}}}",
        found.domain,
        found.country,
        found.postcode,
        meeting.place(found),
        meeting.telling(found),
    )


async def load(conn: db.Connection | db.Pool, keys: Collection[OrgKey]) -> dict[OrgKey, Record]:
    found = await conn.fetch(LOAD, *db.columns(list(keys), 2))
    return {(row["company_id"], row["record_id"]): read(row) for row in found}


async def derived_otherwise(conn: db.Connection, after: OrgKey, limit: int) -> list[OrgKey]:
    """The next records whose stored keys were derived by other code."""
    found = await conn.fetch(DERIVED_OTHERWISE, DERIVED_BY, *after, limit)
    return [(row["company_id"], row["record_id"]) for row in found]


async def living_in(
    conn: db.Connection, organizations: Collection[OrgKey]
) -> dict[OrgKey, list[Record]]:
    """The living records of each organization that has any."""
    found: dict[OrgKey, list[Record]] = {}
    for row in await conn.fetch(LIVING_IN, *db.columns(list(organizations), 2)):
        found.setdefault((row["company_id"], row["organization_id"]), []).append(read(row))
    return found


async def of_organization(
    conn: db.Connection | db.Pool, company_id: int, organization_id: UUID
) -> list[Record]:
    """All that belong to it, including those that were merged away in Pipedrive."""
    found = await conn.fetch(OF_ORGANIZATION, company_id, organization_id)
    return [read(row) for row in found]


async def take_along(conn: db.Connection, roots: Collection[Key]) -> list[Rehomed]:
    if not roots:
        return []
    found = await conn.fetch(TAKE_ALONG, *db.columns(list(roots), 2))
    return [Rehomed(*row) for row in found]


async def save(
    conn: db.Connection, records: Iterable[Record], unasked: Collection[OrgKey] = ()
) -> None:
    """`unasked` are those whose likenesses have to be searched again."""
    cells = [
        (
            r.company_id,
            r.record_id,
            r.pipedrive_org_id,
            *rows.cells(r.register, FIELDS),
            *derived(r),
            r.key in unasked,
        )
        for r in records
    ]
    if cells:
        await conn.execute(UPSERT, *db.columns(cells, 31))


async def rehome(conn: db.Connection, records: Iterable[Record]) -> None:
    """Save the organizations of records of which nothing else changed."""
    cells = [(r.company_id, r.record_id, r.home) for r in records]
    if cells:
        await conn.execute(REHOME, *db.columns(cells, 3))


async def homes(conn: db.Connection, numbers: Collection[Key]) -> dict[Key, UUID]:
    """The organization of each of these Pipedrive ids, if any."""
    if not numbers:
        return {}
    found = await conn.fetch(HOMES, *db.columns(list(numbers), 2))
    return {(row["company_id"], row["pipedrive_org_id"]): row["organization_id"] for row in found}


async def successors(
    conn: db.Connection | db.Pool, ids: Sequence[OrgKey]
) -> dict[OrgKey, Successors]:
    """Where records belong, else the only organization with their name, if its facts agree."""
    if not ids:
        return {}
    found = await conn.fetch(WHERE_THEY_BELONG, *db.columns(ids, 2))
    homeless = {(row["company_id"], row["name_key"]) for row in found if row[2] is None}
    named = [key for key in homeless if key[1] is not None]
    rows = await conn.fetch(SOLE, *db.columns(named, 2)) if named else []
    having = {(row[0], row[1]): _sole(row) for row in rows}
    return {
        (row[0], row[1]): Successors(row[2], _named(row, having) if row[2] is None else None)
        for row in found
    }


class _Sole(NamedTuple):
    """The only organization that has a name, and what its records state."""

    organization_id: UUID
    domains: frozenset[str]
    countries: frozenset[str]


def _sole(row: Any) -> _Sole:
    return _Sole(row[2], frozenset(row["domains"] or ()), frozenset(row["countries"] or ()))


def _named(row: Any, having: Mapping[tuple[int, UUID | None], _Sole]) -> UUID | None:
    sole = having.get((row["company_id"], row["name_key"]))
    if sole is None:
        return None
    agrees = _may_be(row["domain"], sole.domains) and _may_be(row["country_code"], sole.countries)
    return sole.organization_id if agrees else None


def _may_be(fact: str | None, told: frozenset[str]) -> bool:
    """Whether it is among the stated facts, or either side states nothing."""
    return fact is None or not told or fact in told
