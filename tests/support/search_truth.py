"""What a search must find, by looking at every contact of the user: no index, no shortcuts."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from services.query.batch import User
from services.query.request import Filters
from services.query.searching import asking, essentials, matching
from services.query.searching.asking import Asked
from services.query.searching.matching import Bag, Reach, Wide
from services.query.searching.terms import Document
from shared import db

# The list itself, row by row, in its order.
CONTACTS = """
SELECT contact_id, name, email, phone, organization_id, organization_name, score,
       added_to_campaign
  FROM shown_contacts
 WHERE company_id = $1 AND owner_id = $2 AND listed
 ORDER BY not_in_campaign, score, contacted_key, created_key, contact_id
"""


class Truth(NamedTuple):
    contacts: list[UUID]
    rows: list[asyncpg.Record]


async def search(pool: db.Pool, user: User, text: str, filters: Filters | None = None) -> Truth:
    rows = await pool.fetch(CONTACTS, *user)
    ranks = _ranks_of(rows, asking.parse(text))
    rest = essentials.of(text)
    if rest is not None and not any(rank is not None for rank in ranks):
        ranks = _ranks_of(rows, asking.parse(rest))
    ranked = [
        (rank, place)
        for place, (row, rank) in enumerate(zip(rows, ranks, strict=True))
        if rank is not None and _passes(row, filters or Filters())
    ]
    found = [rows[place] for _, place in sorted(ranked)]
    return Truth([UUID(bytes=row["contact_id"].bytes) for row in found], found)


def _ranks_of(rows: Sequence[asyncpg.Record], asked: Asked) -> list[int | None]:
    """With slips in words that many have, if nobody is found by more than an organization."""
    bags = [matching.bag(_document(row), row["organization_name"]) for row in rows]
    having = {
        token: sum(matching.as_word(token.word, bag) is not None for bag in bags)
        for token in asked.tokens
        if token.word
    }
    reaches = {token: matching.reach(having[token]) for token in having}
    wide = {token: reach for token, reach in reaches.items() if reach is not None}
    ranks = _ranks(asked, bags, wide)
    if not any(_is_own(asked, *each, wide) for each in zip(rows, ranks, strict=True)):
        ranks = _ranks(
            asked, bags, wide | dict.fromkeys(matching.widened(asked, wide), Reach.MISSPELT)
        )
    return ranks


def _ranks(asked: Asked, bags: Iterable[Bag], wide: Wide) -> list[int | None]:
    return [matching.rank(asked, bag, wide) for bag in bags]


def _is_own(asked: Asked, row: Any, rank: int | None, wide: Wide) -> bool:
    """Whether it was found, and not by its organization's name alone."""
    own = matching.bag(_document(row), None)
    return rank is not None and any(
        matching.met(need, own, wide) is not None for need in asked.needs
    )


def _document(row: Any) -> Document:
    return Document(row["name"], row["email"], row["phone"], row["organization_id"])


def _passes(row: Any, filters: Filters) -> bool:
    low, high = filters.scores
    return (
        low <= row["score"] <= high
        and filters.in_campaign in (None, row["added_to_campaign"])
        and filters.organization_id in (None, row["organization_id"])
    )


def ids(found: Iterable[dict[str, Any]]) -> list[UUID]:
    return [UUID(each["id"]) for each in found]
