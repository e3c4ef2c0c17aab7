"""SQL that finds whom a record may be the same organization as: its candidates. None commits.

Rule 1: by name, former names among them, by core key, by domain, by the words that few have, then
        the nearest by trigram. A word that nobody else has is taken for those that it may
        be a misspelling or the beginning of, and every word for its own beginnings: names are
        abbreviated so.
Rule 2: one record stands for all of its organization that are spelled alike.
Rule 3: every look-up has a limit, however many records share a key.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import alias_store, names, record_store
from services.orgs.alias_store import Alias
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.matching import meeting
from services.orgs.searching import terms as searching_terms
from shared import db

NEAREST = 50
OF_A_KEY = 20
OF_A_WORD = 200
"""A word that more organizations have tells nothing about any two of them."""
OF_RARE_WORDS = 50
WORDS_READ = 500
WORDS_MEANT = 20

# Of the tenant that follows one, as if they stood in a circle: each step is one down the index.
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

# Also those that are unasked already: who looks at one just now is to see that it was written.
ASK_ANEW = """
UPDATE records r
   SET unasked = true
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, record_id)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id
"""

# A record that was written meanwhile stays unasked, be it that a body told only what was before.
ASKED = """
UPDATE records r
   SET unasked = false
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS k (company_id, record_id, written)
 WHERE r.company_id = k.company_id AND r.record_id = k.record_id
   AND r.xmin::text::bigint = k.written
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

# Words of the tenant's that may be meant by one that no other organization has.
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

# Those that share most, each word counting the less the more have it.
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

FROM_HOW_ALIKE = """
SELECT set_config('pg_trgm.similarity_threshold', $1, true)
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


Asked = tuple[int, UUID, UUID | None, str]
"""Company, who asks, its organization, a word."""


class Unasked(NamedTuple):
    """A record whose turn it is; `written` tells whether it was written since."""

    record: Record
    written: int


class Found(NamedTuple):
    """Who may be meant by each record, as far as it is stored, and their names of all times, with
    those of what Pipedrive merged into them.
    """

    candidates: dict[OrgKey, list[Record]]
    names: dict[OrgKey, list[Alias]]


async def unasked(conn: db.Connection, after: int, limit: int) -> list[Unasked]:
    """Some of the tenant's whose turn it is after another's."""
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
) -> Found:
    """Candidates of living records in other organizations; `known` are some by other means. In a
    transaction of the caller's.
    """
    pairs: set[tuple[OrgKey, OrgKey]] = set(known)
    pairs |= await _by_keys(conn, records)
    pairs |= await _by_words(conn, records)
    pairs |= await _by_names(conn, records)
    wanted = {other for _, other in pairs}
    loaded = await record_store.load(conn, wanted)
    candidates: dict[OrgKey, list[Record]] = {}
    homes = {record.key: record.home for record in records}
    for asker, other in sorted(pairs, key=_in_order):
        record = loaded.get(other)
        if record is not None and record.lives and record.home != homes.get(asker, record.home):
            candidates.setdefault(asker, []).append(record)
    told = {record.key for record in records} | loaded.keys()
    return Found(candidates, await alias_store.of_all(conn, told))


def _in_order(pair: tuple[OrgKey, OrgKey]) -> tuple[int, bytes, int, bytes]:
    """As the pairs themselves are: the driver's ids take long to compare."""
    (company_id, asker), (other_company, other) = pair
    return company_id, asker.bytes, other_company, other.bytes


async def _by_keys(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    found = await _by_key(conn, BY_CORE, [(r, _core_id(r)) for r in records], OF_A_KEY)
    found |= await _by_key(conn, BY_DOMAIN, [(r, r.profile.domain) for r in records], OF_A_KEY)
    alike: defaultdict[float, list[tuple[Record, str]]] = defaultdict(list)
    for record in records:
        telling = meeting.telling(record.profile)
        if telling is not None:
            alike[meeting.alike_from(telling)].append((record, telling))
    for least, told in alike.items():
        await conn.execute(FROM_HOW_ALIKE, str(least))
        found |= await _by_key(conn, ALIKE, told, NEAREST)
    return found


async def _by_key(
    conn: db.Connection, statement: str, keyed: Iterable[tuple[Record, Any]], limit: int
) -> set[tuple[OrgKey, OrgKey]]:
    """By one key of each record that has it."""
    cells = [(r.company_id, r.record_id, r.home, key) for r, key in keyed if key is not None]
    if not cells:
        return set()
    return _pairs(await conn.fetch(statement, *db.columns(cells, 4), limit))


def _pairs(rows: Iterable[Any]) -> set[tuple[OrgKey, OrgKey]]:
    """Of rows that name a company, who asks, and who may be meant."""
    return {((company_id, asker), (company_id, other)) for company_id, asker, other in rows}


async def _by_words(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    """By the words that autocomplete finds organizations by."""
    cells = [
        (r.company_id, r.record_id, r.home, word)
        for r in records
        for word in dict.fromkeys(searching_terms.of_name(r.register.fields.get("name")))
    ]
    if not cells:
        return set()
    abbreviated = [
        (company_id, asker, home, beginning)
        for company_id, asker, home, word in cells
        for beginning in searching_terms.cut(word)
    ]
    cells += [*await _meant(conn, cells), *abbreviated]
    limits = (OF_A_WORD, OF_RARE_WORDS, OF_A_KEY)
    return _pairs(await conn.fetch(BY_WORDS, *db.columns(cells, 4), *limits))


async def _meant(conn: db.Connection, cells: Sequence[Asked]) -> list[Asked]:
    """The same with the likeliest words that may be meant, where no other organization has it."""
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
    """Of words that are near, those by which the word is looked up."""
    meant = searching_terms.meant(word, near)
    return sorted(meant, key=lambda each: (meant[each], len(each)))[:WORDS_MEANT]


def _core_id(record: Record) -> UUID | None:
    return names.core_id(record.company_id, record.profile.name.core)


async def _by_names(conn: db.Connection, records: Sequence[Record]) -> set[tuple[OrgKey, OrgKey]]:
    """Who has or had a name that the record has or had."""
    named = [(*record.key, record.name_key, record.pipedrive_org_id) for record in records]
    return _pairs(await alias_store.namesakes(conn, named, OF_A_KEY))
