"""SQL by which autocomplete finds. Every function takes the caller's pools.

Rule: no statement reads more rows than its bounds say, however common the words are. Rare words
      are looked up; for a common word, walking organizations by popularity finds enough.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs.searching import terms as searching_terms
from shared import db

RARE = 1_000
"""A word that begins more names' words than this is common."""
INTERSECTED = 8_000
WALKED = 3_000
SHORTLIST = 200
WORDS_INSIDE = 300
WORDS_NEAR = 3_000

HOW_COMMON = f"""
SELECT (SELECT count(*)
          FROM (SELECT FROM search_words w
                 WHERE w.company_id = $1 AND w.word >= k.word AND w.word < k.after
                 LIMIT {RARE + 1}) AS counted)
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k (word, after, place)
 ORDER BY place
"""  # noqa: S608  constants


def _ranked(candidates: str, operator: str) -> str:
    """The best organizations, each by its best candidate name: by kind of match, then by
    popularity, then by contacts.
    """
    return f"""
WITH {candidates},
matching AS (
    SELECT DISTINCT ON (organization_id) organization_id, folded, popularity, alias, class
      FROM (SELECT *,
                   CASE WHEN folded = $2 THEN 0 WHEN starts_with(folded, $2) THEN 1
                        WHEN folded LIKE ALL ($3::text[]) THEN 2 ELSE 3 END AS class
              FROM candidates
             WHERE folded {operator} ALL ($4::text[])) AS met
     ORDER BY organization_id, class, alias IS NOT NULL, folded),
best AS MATERIALIZED (
    SELECT *
      FROM matching
     ORDER BY class, popularity DESC, length(folded), folded, organization_id
     LIMIT {SHORTLIST})
SELECT o.organization_id, o.name, o.pipedrive_org_id, o.country, o.city, o.contact_count, b.class,
       b.alias
  FROM best b
 CROSS JOIN LATERAL (
       SELECT *
         FROM organizations
        WHERE company_id = $1 AND organization_id = b.organization_id AND NOT deleted
       OFFSET 0) AS o
 ORDER BY b.class, o.contact_count DESC, length(b.folded), b.folded, o.organization_id
 LIMIT $5
"""  # noqa: S608  constants


# Before Postgres has statistics of a table it reads and sorts whole ranges that it takes for
# short, so that the bounds have no effect.
IN_ORDER = {"enable_bitmapscan": "off", "enable_sort": "off"}

# OFFSET 0 keeps the planner from reading all names of the tenant to join them in another way.
_NAME_OF_W = """
       SELECT *
         FROM search_names
        WHERE company_id = $1 AND organization_id = w.organization_id
       OFFSET 0"""

_OF_RARE_WORD = f"""
found AS MATERIALIZED (
    SELECT DISTINCT organization_id
      FROM (SELECT organization_id
              FROM search_words
             WHERE company_id = $1 AND word >= $6 AND word < $7
             LIMIT {RARE}) AS met),
candidates AS (
    SELECT n.organization_id, n.folded, n.popularity, n.alias
      FROM found w
     CROSS JOIN LATERAL ({_NAME_OF_W}) AS n)"""  # noqa: S608  constants

# Names that begin with what was typed, and the most popular of all.
_OF_COMMON_WORD = f"""
candidates AS (
    (SELECT organization_id, folded, popularity, alias
       FROM search_names
      WHERE company_id = $1 AND folded >= $2 AND folded < $6
      ORDER BY folded
      LIMIT {RARE})
    UNION ALL
    (SELECT organization_id, folded, popularity, alias
       FROM search_names
      WHERE company_id = $1
      ORDER BY popularity DESC, organization_id
      LIMIT {WALKED}))"""  # noqa: S608  constants

# And those that have the two rarest of several words. Sets rule out nested-loop plans.
_OF_COMMON_WORDS = f"""
both_words AS MATERIALIZED (
    ((SELECT organization_id
        FROM search_words
       WHERE company_id = $1 AND word >= $7 AND word < $8
       LIMIT {INTERSECTED})
     INTERSECT
     (SELECT organization_id
        FROM search_words
       WHERE company_id = $1 AND word >= $9 AND word < $10
       LIMIT {INTERSECTED}))
    LIMIT {RARE}),
{_OF_COMMON_WORD.strip().replace("candidates", "commonest")},
candidates AS (
    SELECT *
      FROM commonest
    UNION ALL
    SELECT n.organization_id, n.folded, n.popularity, n.alias
      FROM both_words w
     CROSS JOIN LATERAL ({_NAME_OF_W}) AS n)"""  # noqa: S608  constants

_OF_WORDS = f"""
found AS MATERIALIZED (
    SELECT DISTINCT organization_id
      FROM (SELECT organization_id
              FROM search_words
             WHERE company_id = $1 AND word = ANY ($6::text[])
             LIMIT {RARE}) AS met),
candidates AS (
    SELECT n.organization_id, n.folded, n.popularity, n.alias
      FROM found w
     CROSS JOIN LATERAL ({_NAME_OF_W}) AS n)"""  # noqa: S608  constants

OF_RARE_WORD = _ranked(_OF_RARE_WORD, "LIKE")
OF_COMMON_WORD = _ranked(_OF_COMMON_WORD, "LIKE")
OF_COMMON_WORDS = _ranked(_OF_COMMON_WORDS, "LIKE")
OF_WORDS = _ranked(_OF_WORDS, "LIKE")
OF_NEAR_WORDS = _ranked(_OF_WORDS, "~")

INSIDE = f"""
SELECT word
  FROM (SELECT word
          FROM search_dictionary
         WHERE tokens @> $2::bigint[] AND company_id = $1
         LIMIT {WORDS_NEAR}) AS met
 WHERE strpos(word, $3) > 0
 ORDER BY length(word), word
 LIMIT {WORDS_INSIDE}
"""  # noqa: S608  constants

NEAR = f"""
SELECT term.place, near.word
  FROM unnest($2::text[]) WITH ORDINALITY AS term (tokens, place)
 CROSS JOIN LATERAL (
       SELECT word
         FROM search_dictionary
        WHERE tokens && term.tokens::bigint[] AND company_id = $1
        LIMIT {WORDS_NEAR}) AS near
"""  # noqa: S608  constants


# Our records that have one of the numbers or, if living, one of the names.
KNOWN = """
SELECT r.pipedrive_org_id AS number, r.name_key, r.deleted,
       o.organization_id, o.name, o.pipedrive_org_id, o.country, o.city, o.contact_count
  FROM (SELECT pipedrive_org_id, name_key, deleted, organization_id
          FROM records
         WHERE company_id = $1 AND pipedrive_org_id = ANY ($2::bigint[])
        UNION
        SELECT pipedrive_org_id, name_key, deleted, organization_id
          FROM records
         WHERE company_id = $1 AND name_key = ANY ($3::uuid[]) AND NOT deleted) AS r
  LEFT JOIN organizations o
    ON o.company_id = $1 AND o.organization_id = r.organization_id AND NOT o.deleted
       AND o.name IS NOT NULL
 ORDER BY o.contact_count DESC, o.organization_id
"""


class Found(NamedTuple):
    """`closeness` 0: the whole name; 1: its beginning; 2: words begin so; 3: something inside.
    `alias` is the name of one of its records that matched, if another is shown.
    """

    organization_id: UUID
    name: str
    pipedrive_org_id: int | None
    country: str | None
    city: str | None
    contact_count: int
    closeness: int
    alias: str | None = None


class Known(NamedTuple):
    """Of several organizations of a name, the one with the most contacts. `gone` are numbers of
    organizations that were deleted, whatever Pipedrive's index says.
    """

    of_number: Mapping[int, Found]
    of_name: Mapping[UUID | None, Found]
    gone: Collection[int]


class Wanted(NamedTuple):
    """What a name must match. `beginning` is the typed text as a whole; `words` match a name whose
    words begin so; all `patterns` must match, as LIKE patterns or as regular expressions.
    """

    beginning: str
    words: Sequence[str]
    patterns: Sequence[str]
    limit: int

    def parameters(self, company_id: int) -> tuple[Any, ...]:
        return company_id, self.beginning, self.words, self.patterns, self.limit


class Pools(NamedTuple):
    """Connections whose planner walks an index in order and stops at the limit, and others."""

    in_order: db.Pool
    other: db.Pool


@asynccontextmanager
async def pools(dsn: str, schema: str, other: db.Pool, *, size: int) -> AsyncIterator[Pools]:
    """Planner settings are per connection: set in each transaction they cost three round trips."""
    async with db.pool(
        dsn, schema, size=size, answer_s=db.REQUEST_ANSWER_S, planner=IN_ORDER
    ) as in_order:
        yield Pools(in_order, other)


async def how_common(pools: Pools, company_id: int, terms: Sequence[str]) -> list[int]:
    """How often words of names begin with each term, counted up to a bound."""
    return await _counted(pools, company_id, terms, list(map(searching_terms.after, terms)))


async def how_often(pools: Pools, company_id: int, words: Sequence[str]) -> list[int]:
    """How many names have each word, counted up to a bound."""
    return await _counted(pools, company_id, words, list(map(searching_terms.next_to, words)))


async def _counted(
    pools: Pools, company_id: int, words: Sequence[str], ends: Sequence[str]
) -> list[int]:
    rows = await pools.in_order.fetch(HOW_COMMON, company_id, words, ends)
    return [row[0] for row in rows]


async def of_rare_word(pools: Pools, company_id: int, wanted: Wanted, word: str) -> list[Found]:
    end = searching_terms.after(word)
    return await _best(pools, OF_RARE_WORD, company_id, wanted, word, end)


async def of_common_word(pools: Pools, company_id: int, wanted: Wanted) -> list[Found]:
    end = searching_terms.after(wanted.beginning)
    return await _best(pools, OF_COMMON_WORD, company_id, wanted, end)


async def of_common_words(
    pools: Pools, company_id: int, wanted: Wanted, words: Sequence[str]
) -> list[Found]:
    """`words` are the two rarest of those wanted."""
    end = searching_terms.after(wanted.beginning)
    bounds = [bound for word in words for bound in (word, searching_terms.after(word))]
    return await _best(pools, OF_COMMON_WORDS, company_id, wanted, end, *bounds)


async def of_words(
    pools: Pools, company_id: int, wanted: Wanted, words: Iterable[str]
) -> list[Found]:
    return await _best(pools, OF_WORDS, company_id, wanted, list(words))


async def of_near_words(
    pools: Pools, company_id: int, wanted: Wanted, words: Iterable[str]
) -> list[Found]:
    """As `of_words`, with regular expressions."""
    return await _best(pools, OF_NEAR_WORDS, company_id, wanted, list(words))


async def _best(
    pools: Pools, statement: str, company_id: int, wanted: Wanted, *more: Any
) -> list[Found]:
    rows = await pools.in_order.fetch(statement, *wanted.parameters(company_id), *more)
    return [Found(*row) for row in rows]


async def words_with(pools: Pools, company_id: int, term: str) -> list[str]:
    """The tenant's words that contain the term, shortest first."""
    tokens = searching_terms.inside(company_id, term)
    rows = await pools.other.fetch(INSIDE, company_id, tokens, term) if tokens else []
    return [row[0] for row in rows]


async def words_near(pools: Pools, company_id: int, terms: Sequence[str]) -> list[list[str]]:
    """For each term, the tenant's words that it may be a misspelling of."""
    tokens = [searching_terms.beginnings(company_id, term) for term in terms]
    near: list[list[str]] = [[] for _ in terms]
    if any(tokens):
        for place, word in await pools.other.fetch(NEAR, company_id, list(map(db.array, tokens))):
            near[place - 1].append(word)
    return near


async def known(pool: db.Pool, company_id: int, keys: Mapping[int, UUID | None]) -> Known:
    """What our store has of Pipedrive's organizations, by number and by the key of their name."""
    named = [key for key in keys.values() if key is not None]
    if not keys:
        return Known({}, {}, frozenset())
    rows = await pool.fetch(KNOWN, company_id, list(keys), named)
    living = [(row, _found(row)) for row in rows if row["organization_id"]]
    return Known(
        {row["number"]: found for row, found in living if row["number"] in keys},
        {row["name_key"]: found for row, found in reversed(living) if row["name_key"] is not None},
        frozenset(row["number"] for row in rows if row["deleted"] and row[3] is None),
    )


def _found(row: Any) -> Found:
    """From a row of KNOWN, which has no closeness."""
    return Found._make([*(row[name] for name in Found._fields[:-2]), 0, None])
