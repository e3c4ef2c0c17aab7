"""Assembles the pages of questions and of past merges. Reads only.

Rule: a page is read in one snapshot, so its counts and its contents agree.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.orgs import (
    answers,
    organization_store,
    paging,
    record_store,
    snapshot,
    weighing,
)
from services.orgs.grouping import Record
from services.orgs.judging import answers as shape
from services.orgs.judging import review_store, verdict_store
from services.orgs.judging.answers import (
    MergePage,
    Moves,
    ReviewAnswer,
    ReviewPage,
    Side,
)
from services.orgs.judging.review_store import Review
from services.orgs.organization_store import Organization
from services.orgs.rows import plain
from services.orgs.weighing import Pair
from shared import db


async def reviews(pool: db.Pool, company_id: int, asked: paging.PageQuery) -> ReviewPage:
    """Open questions, the likeliest to be one organization first."""
    async with snapshot.of(pool) as conn:
        found, total = await review_store.page(conn, company_id, asked.limit, asked.offset)
        shown = await _shown(conn, company_id, found)
    return ReviewPage(reviews=shown, pagination=paging.pagination(asked, total))


async def merges(pool: db.Pool, company_id: int, asked: paging.PageQuery) -> MergePage:
    """Merges that people made, newest first, undone ones included."""
    async with snapshot.of(pool) as conn:
        found, total = await verdict_store.newest_merges(
            conn, company_id, asked.limit, asked.offset
        )
    past = [shape.past(verdict, homes) for verdict, homes in found]
    return MergePage(merges=past, pagination=paging.pagination(asked, total))


async def _shown(
    conn: db.Connection, company_id: int, found: Sequence[Review]
) -> list[ReviewAnswer]:
    homes = {(company_id, home) for r in found for home in (r.one_home, r.other_home)}
    refs = {(company_id, ref) for r in found for ref in (r.one, r.other)}
    loaded = await organization_store.load(conn, homes)
    organizations = {key[1]: one.row for key, one in loaded.items() if one.row is not None}
    records = {r.record_id: r for r in (await record_store.load(conn, refs)).values()}
    counted = await organization_store.records_in(conn, homes)
    sizes = {key[1]: n for key, n in counted.items()}
    pairs = [_pair(review, organizations) for review in found]
    moving = await weighing.moving(conn, company_id, pairs)
    return [
        _answer(review, pair, records, sizes, Moves(contacts=moves[0], records=moves[1]))
        for review, pair, moves in zip(found, pairs, moving, strict=True)
    ]


def _pair(review: Review, organizations: Mapping[UUID, Organization]) -> Pair:
    """The suggested winner first."""
    sides = [(review.one_home, review.one), (review.other_home, review.other)]
    found = [(organizations[home], ref) for home, ref in sides]
    winner, loser = sorted(found, key=lambda side: weighing.standing(side[0]))
    return winner, loser


def _answer(
    review: Review,
    pair: Pair,
    records: dict[UUID, Record],
    sizes: dict[UUID, int],
    moves: Moves,
) -> ReviewAnswer:
    sides = [
        Side(
            organization=answers.organization(organization),
            record=shape.record(records[ref]),
            records=sizes[organization.organization_id],
        )
        for organization, ref in pair
    ]
    if review.was is not None:
        before = shape.former(review.was, sides[1].record)
        sides[1] = sides[1].model_copy(update={"record": before})
    return ReviewAnswer(
        id=plain(review.review_id),
        kind="alike" if review.was is None else "renamed",
        score=round(review.score, 4),
        reasons=review.reasons,
        features=shape.features(review),
        winner=sides[0],
        loser=sides[1],
        moves=moves,
    )
