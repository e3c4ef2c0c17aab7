"""SQL that finds a record's candidates: those that may be the same organization. None commits.

Rule 1: by name, former names included, by core key, by domain, by rare words, then the nearest by
        trigram. A word that nobody else has also stands for those it may be a misspelling or the
        beginning of, and every word for its own beginnings: names are abbreviated that way.
Rule 2: of an organization's records with the same spelling, one stands for all.
Rule 3: every look-up has a limit, however many records share a key.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import names, record_store
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.matching import meeting
from services.orgs.matching import profile as profiles
from services.orgs.matching.profile import Profile, Stated
from services.orgs.searching import terms as searching_terms
from shared import db

NEAREST = 50
OF_A_KEY = 20
OF_A_WORD = 200
"""A word that more organizations have says nothing about any two of them."""
OF_RARE_WORDS = 50
WORDS_READ = 500
WORDS_MEANT = 20

# Of the next tenant, as if tenants stood in a circle: each step is one down the index.
UNASKED = """
SELECT xmin::text::bigint AS written, *
  FROM records
 WHERE unasked
   AND company_id = coalesce(
       (SELECT company_id
          FROM records
         WHERE unasked AND company_id > $1
         ORDER BY company_id
         LIMIT 1),
       (SELECT company_id
          FROM records
         WHERE unasked
         ORDER BY company_id
         LIMIT 1))
 ORDER BY record_id
 LIMIT $2
"""

# Also those already unasked: a look-up in progress must notice that they were written.
ASK_ANEW = """
UPDATE records r
   SET unasked = true
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id
"""

# A record written meanwhile stays unasked, even if the body only reported an earlier state.
ASKED = """
UPDATE records r
   SET unasked = false
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS k (company_id, record_id, written)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id
   AND r.xmin::text::bigint = k.written
"""

# By each key the records that have it. Names are those that a record has and had: of one that is
# not stored yet, the one it arrives with. A record that Pipedrive merged into another passed its
# names on, and no longer counts itself.
BY_KEYS = """
SELECT k.company_id, k.asker, r.record_id
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[],
              $7::bigint[])
       AS k (company_id, asker, home, core_key, domain, name_key, number)
 CROSS JOIN LATERAL (
       (SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
          FROM records
         WHERE company_id = k.company_id AND core_key = k.core_key AND NOT deleted
           AND organization_id IS DISTINCT FROM k.home
         GROUP BY organization_id, name_key
         LIMIT $8)
        UNION ALL
       (SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
          FROM records
         WHERE company_id = k.company_id AND domain = k.domain AND NOT deleted
           AND organization_id IS DISTINCT FROM k.home
         GROUP BY organization_id, name_key
         LIMIT $8)
        UNION ALL
       SELECT coalesce(became.record_id, held.record_id)
         FROM (SELECT name_key
                 FROM aliases
                WHERE company_id = k.company_id AND record_id = k.asker
                UNION
               SELECT n.name_key
                 FROM merges m
                 JOIN records l ON l.company_id = m.company_id AND l.pipedrive_org_id = m.loser
                 JOIN aliases n ON n.company_id = l.company_id AND n.record_id = l.record_id
                WHERE m.company_id = k.company_id AND m.kind = 'organization'
                  AND m.root = k.number
                UNION
               SELECT k.name_key) AS own
        CROSS JOIN LATERAL (
              SELECT record_id
                FROM aliases
               WHERE company_id = k.company_id AND name_key = own.name_key
               LIMIT $8) AS a
         JOIN records held ON held.company_id = k.company_id AND held.record_id = a.record_id
         LEFT JOIN merges away
           ON away.company_id = held.company_id AND away.kind = 'organization'
          AND away.loser = held.pipedrive_org_id
         LEFT JOIN records became
           ON became.company_id = away.company_id AND became.pipedrive_org_id = away.root) AS r
"""

# The tenant's words that may have been meant by one that no other organization has.
NEAR_WORDS = """
SELECT k.company_id, k.asker, k.home, k.word, near.words
  FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[])
       AS k (company_id, asker, home, word, tokens)
 CROSS JOIN LATERAL (
       SELECT array_agg(met.word) AS words
         FROM (SELECT word
                 FROM search_dictionary
                WHERE tokens && k.tokens::bigint[] AND company_id = k.company_id
                LIMIT $6) AS met
        WHERE met.word <> k.word) AS near
 WHERE near.words IS NOT NULL
   AND NOT EXISTS (SELECT
                     FROM search_words
                    WHERE company_id = k.company_id AND word = k.word
                      AND organization_id IS DISTINCT FROM k.home)
"""

# Those that share most; a word counts less the more organizations have it.
BY_WORDS = """
WITH held AS MATERIALIZED (
    SELECT k.company_id, k.asker, k.home, met.organizations
      FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[])
           AS k (company_id, asker, home, word)
     CROSS JOIN LATERAL (
           SELECT array_agg(organization_id) AS organizations
             FROM (SELECT organization_id
                     FROM search_words
                    WHERE company_id = k.company_id AND word = k.word
                    LIMIT $5 + 1) AS some_of_them) AS met
     WHERE cardinality(met.organizations) <= $5),
sharing AS (
    SELECT h.company_id, h.asker, o.organization_id,
           row_number() OVER (PARTITION BY h.company_id, h.asker
                              ORDER BY sum(1.0 / cardinality(h.organizations)) DESC,
                                       o.organization_id) AS place
      FROM held h
     CROSS JOIN unnest(h.organizations) AS o (organization_id)
     WHERE o.organization_id IS DISTINCT FROM h.home
     GROUP BY h.company_id, h.asker, o.organization_id)
SELECT s.company_id, s.asker, r.record_id
  FROM sharing s
 CROSS JOIN LATERAL (
       SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
         FROM records
        WHERE company_id = s.company_id AND organization_id = s.organization_id AND NOT deleted
        GROUP BY name_key
        LIMIT $7) AS r
 WHERE s.place <= $6
"""

# The similarity threshold is a setting: it is set for each asking record, before any look-up.
ALIKE = """
WITH asked AS MATERIALIZED (
    SELECT k.*, set_config('pg_trgm.similarity_threshold', $6, true)
      FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[])
           AS k (company_id, asker, home, telling))
SELECT k.company_id, k.asker, r.record_id
  FROM asked k
 CROSS JOIN LATERAL (
       SELECT (array_agg(record_id ORDER BY pipedrive_org_id, record_id))[1] AS record_id
         FROM records
        WHERE company_id = k.company_id AND telling % k.telling AND NOT deleted
          AND organization_id IS DISTINCT FROM k.home
        GROUP BY organization_id, name_key, telling
        ORDER BY similarity(telling, k.telling) DESC, 1
        LIMIT $5) AS r
"""

# The living, and all names that each has had, the present one included.
SEEN = """
SELECT r.company_id, r.record_id, r.organization_id, r.pipedrive_org_id, had.names,
       r.name, r.website, r.country, r.postcode, r.city
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
  JOIN records r USING (company_id, record_id)
 CROSS JOIN LATERAL (
       SELECT array_agg(a.name) AS names
         FROM (SELECT r.record_id
                UNION ALL
               SELECT l.record_id
                 FROM merges m
                 JOIN records l ON l.company_id = m.company_id AND l.pipedrive_org_id = m.loser
                WHERE m.company_id = r.company_id AND m.kind = 'organization'
                  AND m.root = r.pipedrive_org_id) AS own
         JOIN aliases a ON a.company_id = r.company_id AND a.record_id = own.record_id
        WHERE a.name_key IS DISTINCT FROM r.name_key) AS had
 WHERE NOT r.deleted
"""


Asked = tuple[int, UUID, UUID | None, str]
"""Company, asking record, its organization, a word."""


class Unasked(NamedTuple):
    """A record whose turn it is; `written` shows whether it has been written since."""

    record: Record
    written: int


async def unasked(conn: db.Connection, after: int, limit: int) -> list[Unasked]:
    """Some records of the tenant whose turn comes after another's."""
    found = await conn.fetch(UNASKED, after, limit)
    return [Unasked(record_store.read(row), row["written"]) for row in found]


async def ask_anew(conn: db.Connection, records: Collection[OrgKey]) -> None:
    if records:
        await conn.execute(ASK_ANEW, *db.columns(list(records), 2))


async def asked(conn: db.Connection, records: Iterable[Unasked]) -> None:
    cells = [(*record.key, written) for record, written in records]
    await conn.execute(ASKED, *db.columns(cells, 3))


async def near(
    conn: db.Connection, records: Sequence[Record], known: Collection[tuple[OrgKey, OrgKey]] = ()
) -> dict[OrgKey, list[Profile]]:
    """Candidates for living records, as they are compared: living ones in other organizations,
    with all names they have had, including those of what Pipedrive merged into them. `known` are
    some found by other means. Needs the caller's transaction.
    """
    pairs: set[tuple[OrgKey, OrgKey]] = set(known)
    pairs |= await _by_keys(conn, records)
    pairs |= await _alike(conn, records)
    pairs |= await _by_words(conn, records)
    seen = await _seen(conn, {other for _, other in pairs})
    homes = {record.key: _home(record.home) for record in records}
    found: dict[OrgKey, list[Profile]] = {}
    for asker, other in sorted(pairs, key=_in_order):
        profile = seen.get(other)
        # A record that moved since it was read has another home, but is no candidate for itself.
        if asker != other and profile is not None and profile.organization != homes[asker]:
            found.setdefault(asker, []).append(profile)
    return found


async def _seen(conn: db.Connection, wanted: Collection[OrgKey]) -> dict[OrgKey, Profile]:
    """Those of them that are living."""
    found: dict[OrgKey, Profile] = {}
    for row in await conn.fetch(SEEN, *db.columns(list(wanted), 2)):
        company_id, record_id, home, number, former, *stated = row
        found[company_id, record_id] = profiles.of(
            Stated(*stated),
            ref=record_id.hex,
            organization=_home(home),
            pipedrive_id=number,
            former_names=former or (),
        )
    return found


def _home(organization_id: UUID | None) -> str:
    return organization_id.hex if organization_id else ""


def _in_order(pair: tuple[OrgKey, OrgKey]) -> tuple[int, bytes, int, bytes]:
    """The order of the pairs themselves, by bytes: the driver's ids are slow to compare."""
    (company_id, asker), (other_company, other) = pair
    return company_id, asker.bytes, other_company, other.bytes


async def _by_keys(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    cells = [
        (
            r.company_id,
            r.record_id,
            r.home,
            names.core_id(r.company_id, r.profile.name.core),
            r.profile.domain,
            r.name_key,
            r.pipedrive_org_id,
        )
        for r in records
    ]
    return _pairs(await conn.fetch(BY_KEYS, *db.columns(cells, 7), OF_A_KEY))


async def _alike(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    cells: defaultdict[float, list[Asked]] = defaultdict(list)
    for record in records:
        telling = meeting.telling(record.profile)
        if telling is not None:
            least = meeting.alike_from(telling)
            cells[least].append((record.company_id, record.record_id, record.home, telling))
    found: set[tuple[OrgKey, OrgKey]] = set()
    for least, asked_of in cells.items():
        found |= _pairs(await conn.fetch(ALIKE, *db.columns(asked_of, 4), NEAREST, str(least)))
    return found


def _pairs(rows: Iterable[Any]) -> set[tuple[OrgKey, OrgKey]]:
    """From rows of a company, an asking record, and a candidate."""
    return {((company_id, asker), (company_id, other)) for company_id, asker, other in rows}


async def _by_words(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    """By the words that autocomplete finds organizations by."""
    named = [
        (
            (r.company_id, r.record_id, r.home),
            searching_terms.of_name(r.register.fields.get("name")),
        )
        for r in records
    ]
    cells = [(*asker, word) for asker, found in named for word in dict.fromkeys(found)]
    if not cells:
        return set()
    abbreviated = [
        (company_id, asker, home, beginning)
        for company_id, asker, home, word in cells
        for beginning in searching_terms.cut(word)
    ]
    called = [(*asker, word) for asker, found in named for word in searching_terms.initials(found)]
    cells += [*await _meant(conn, cells), *abbreviated, *called]
    limits = (OF_A_WORD, OF_RARE_WORDS, OF_A_KEY)
    return _pairs(await conn.fetch(BY_WORDS, *db.columns(cells, 4), *limits))


async def _meant(conn: db.Connection, cells: Sequence[Asked]) -> list[Asked]:
    """Cells with the likeliest words that were meant by those that no other organization has."""
    with_tokens = [
        (*cell, db.array(tokens))
        for cell in cells
        if (tokens := searching_terms.beginnings(cell[0], cell[3]))
    ]
    rows = await conn.fetch(NEAR_WORDS, *db.columns(with_tokens, 5), WORDS_READ)
    return [
        (company_id, asker, home, each)
        for company_id, asker, home, word, near in rows
        for each in likeliest(word, near)
    ]


def likeliest(word: str, near: Iterable[str]) -> list[str]:
    """Of similar words, those by which the word is looked up."""
    meant = searching_terms.meant(word, near)
    return sorted(meant, key=lambda each: (meant[each], len(each)))[:WORDS_MEANT]
