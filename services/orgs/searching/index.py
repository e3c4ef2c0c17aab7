"""SQL that maintains the autocomplete index. Every function takes the caller's connection.

Rule: what can be found is a function of the organizations' names, those of their records included,
      and their numbers of contacts: a word that no name has any more is in no table.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

from services.orgs.effects import OrgKey
from services.orgs.searching import terms as searching_terms
from shared import db

FORGET_NAMES = """
DELETE FROM search_names n
 USING unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
 WHERE n.company_id = k.company_id AND n.organization_id = k.organization_id
"""

FORGET_WORDS = """
DELETE FROM search_words w
 USING unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
 WHERE w.company_id = k.company_id AND w.organization_id = k.organization_id
RETURNING w.company_id, w.word
"""

KEEP_NAMES = """
INSERT INTO search_names (company_id, organization_id, folded, alias, popularity, fold_version)
SELECT *
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::smallint[])
    ON CONFLICT (company_id, organization_id, folded) DO UPDATE
   SET alias = EXCLUDED.alias, popularity = EXCLUDED.popularity,
       fold_version = EXCLUDED.fold_version
"""

ALIASES = """
SELECT n.company_id, n.organization_id, n.alias
  FROM unnest($1::bigint[], $2::uuid[]) AS k (company_id, organization_id)
  JOIN search_names n USING (company_id, organization_id)
 WHERE n.alias IS NOT NULL
"""

KEEP_WORDS = """
INSERT INTO search_words (company_id, word, organization_id)
SELECT *
  FROM unnest($1::bigint[], $2::text[], $3::uuid[])
    ON CONFLICT DO NOTHING
"""

UNKNOWN_WORDS = """
SELECT k.company_id, k.word
  FROM unnest($1::bigint[], $2::text[]) AS k (company_id, word)
 WHERE NOT EXISTS (SELECT FROM search_dictionary d
                    WHERE d.company_id = k.company_id AND d.word = k.word)
"""

# The tokens travel as text, see `db.array`.
LEARN_WORDS = """
INSERT INTO search_dictionary (company_id, word, tokens)
SELECT company_id, word, tokens::bigint[]
  FROM unnest($1::bigint[], $2::text[], $3::text[]) AS k (company_id, word, tokens)
    ON CONFLICT DO NOTHING
"""

UNLEARN_WORDS = """
DELETE FROM search_dictionary d
 USING unnest($1::bigint[], $2::text[]) AS k (company_id, word)
 WHERE d.company_id = k.company_id AND d.word = k.word
   AND NOT EXISTS (SELECT FROM search_words w
                    WHERE w.company_id = k.company_id AND w.word = k.word)
"""

RERANK = """
UPDATE search_names n
   SET popularity = k.popularity
  FROM unnest($1::bigint[], $2::uuid[], $3::smallint[])
       AS k (company_id, organization_id, popularity)
 WHERE n.company_id = k.company_id AND n.organization_id = k.organization_id
   AND n.popularity <> k.popularity
"""

# A fixed number is examined, however many are findable: among millions, a statement that searched
# for the next unfindable one would time out.
FINDABLE = """
WITH looked AS MATERIALIZED (
    SELECT company_id, organization_id, NOT deleted AND name IS NOT NULL AS is_to_be
      FROM organizations
     WHERE (company_id, organization_id) > ($1, $2)
     ORDER BY company_id, organization_id
     LIMIT $4)
SELECT l.company_id, l.organization_id, NOT l.is_to_be OR found.is_there IS NOT NULL AS is_right
  FROM looked l
  LEFT JOIN LATERAL (
       SELECT true AS is_there
         FROM search_names n
        WHERE n.company_id = l.company_id AND n.organization_id = l.organization_id
          AND n.fold_version = $3
        LIMIT 1) AS found ON true
 ORDER BY l.company_id, l.organization_id
"""

NAMED = """
SELECT o.company_id, o.organization_id, o.name, o.contact_count,
       ARRAY(SELECT DISTINCT r.name
               FROM records r
              WHERE r.company_id = o.company_id AND r.organization_id = o.organization_id
                AND NOT r.deleted AND r.name IS NOT NULL) AS called
  FROM organizations o
 WHERE (o.company_id, o.organization_id) IN (SELECT * FROM unnest($1::bigint[], $2::uuid[]))
   AND NOT o.deleted AND o.name IS NOT NULL
"""


MOST_ALIASES = 100
"""Other names under which one organization is findable."""


class Name(NamedTuple):
    """The name under which a living organization is findable; null once it no longer is.
    `called` are the names of its records.
    """

    company_id: int
    organization_id: UUID
    name: str | None
    contacts: int
    called: Collection[str] = ()

    def aliases(self) -> frozenset[str]:
        """The other names under which it is findable; one of those that are folded alike."""
        if self.name is None or len(self.called) < 2:  # noqa: PLR2004  the one that it shows
            return frozenset()
        others = {_folded(name): name for name in sorted(self.called)}
        kept = sorted(others.keys() - {_folded(self.name), ""})[:MOST_ALIASES]
        return frozenset(others[folded] for folded in kept)


async def keep(conn: db.Connection, names: Collection[Name], *, before: Iterable[OrgKey]) -> None:
    """Make exactly these names findable; `before` are those that had another one."""
    found_before = db.columns(list(before), 2)
    forgotten = await conn.fetch(FORGET_WORDS, *found_before)
    await conn.execute(FORGET_NAMES, *found_before)
    told = [(n, alias) for n in names if n.name is not None for alias in (None, *n.aliases())]
    living = [(n, searching_terms.of_name(alias or n.name), alias) for n, alias in told]
    rows = [
        (
            n.company_id,
            n.organization_id,
            searching_terms.folded(found),
            alias,
            searching_terms.popularity(n.contacts),
            searching_terms.FOLD_VERSION,
        )
        for n, found, alias in living
    ]
    await conn.execute(KEEP_NAMES, *db.columns(rows, 6))
    words = {
        (n.company_id, word, n.organization_id)
        for n, found, _ in living
        for word in (*found, *searching_terms.initials(found))
    }
    await conn.execute(KEEP_WORDS, *db.columns(list(words), 3))
    await _learn(conn, {(n.company_id, word) for n, found, _ in living for word in found})
    if forgotten:
        old = {(row["company_id"], row["word"]) for row in forgotten}
        await conn.execute(UNLEARN_WORDS, *db.columns(list(old), 2))


async def _learn(conn: db.Connection, words: Collection[tuple[int, str]]) -> None:
    unknown = await conn.fetch(UNKNOWN_WORDS, *db.columns(list(words), 2))
    rows = [(*pair, db.array(searching_terms.of_word(*pair))) for pair in map(tuple, unknown)]
    if rows:
        await conn.execute(LEARN_WORDS, *db.columns(rows, 3))


def _folded(name: str) -> str:
    return searching_terms.folded(searching_terms.of_name(name))


async def aliases(
    conn: db.Connection, organizations: Collection[OrgKey]
) -> dict[OrgKey, frozenset[str]]:
    """The other names under which the organizations are findable, for those that have any."""
    if not organizations:
        return {}
    found: dict[OrgKey, set[str]] = {}
    for row in await conn.fetch(ALIASES, *db.columns(list(organizations), 2)):
        found.setdefault((row[0], row[1]), set()).add(row[2])
    return {key: frozenset(names) for key, names in found.items()}


async def rerank(conn: db.Connection, names: Iterable[Name]) -> None:
    """Update popularity from the number of contacts."""
    rows = [
        (n.company_id, n.organization_id, searching_terms.popularity(n.contacts)) for n in names
    ]
    if rows:
        await conn.execute(RERANK, *db.columns(rows, 3))


async def findable(conn: db.Connection, behind: OrgKey, limit: int) -> dict[OrgKey, bool]:
    """For each of the next organizations, in order, whether it is findable as this version folds
    its name, or need not be.
    """
    rows = await conn.fetch(FINDABLE, *behind, searching_terms.FOLD_VERSION, limit)
    return {(row[0], row[1]): row[2] for row in rows}


async def named(conn: db.Connection, keys: Collection[OrgKey]) -> list[Name]:
    return [Name(*row) for row in await conn.fetch(NAMED, *db.columns(list(keys), 2))]
