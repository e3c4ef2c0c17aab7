"""The endpoints of reviews and merges. Any user of a company may decide; who did is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from services.orgs import answers, paging
from services.orgs.judging import answers as shape
from services.orgs.judging import reviewing
from services.orgs.judging.answers import (
    DecisionAnswer,
    MergeAnswer,
    MergePage,
    MergeWanted,
    ReviewDecision,
    ReviewPage,
    SeparationAnswer,
    SeparationWanted,
    UndoAnswer,
)
from services.orgs.judging.saying import Judge, Undone
from services.orgs.rows import plain
from shared import db
from shared.openapi import Endpoint, UuidParameter
from shared.web import answer, body, identity, path_uuid, query

_FAILURES = {
    400: "The request is not as described",
    503: "A dependency is unavailable; retrying is safe",
}
NOT_MERGED = "They are one already, have too many records, or one changed meanwhile"
APART = "They are separate again."
ASKED_AGAIN = "The question whether it is still the same organization is open again."
TOGETHER = (
    "The rules or another verdict still hold them together, so they remain one organization; "
    "other names or facts would separate them."
)
GONE = "Nothing is left to separate: one side of the merge has been deleted since."


@dataclass(frozen=True, slots=True)
class JudgingApi:
    pool: db.Pool
    judge: Judge

    def endpoints(self) -> Sequence[Endpoint]:
        return (
            Endpoint(
                "GET",
                "/api/organizations/reviews",
                self.list_organization_reviews,
                "Organizations that may be the same, likeliest first",
                {200: ReviewPage, **_FAILURES},
                query=paging.PageQuery,
            ),
            Endpoint(
                "POST",
                "/api/organizations/reviews/{id}",
                self.decide_organization_review,
                "Answer a review's question: merge them, or declare them separate",
                {
                    200: DecisionAnswer,
                    **_FAILURES,
                    404: "There is no such question, or it is no longer open",
                    409: "It is already decided, or one of them changed meanwhile",
                },
                body=ReviewDecision,
                path_parameters={"id": UuidParameter("the question's UUID")},
            ),
            Endpoint(
                "GET",
                "/api/organizations/merges",
                self.list_organization_merges,
                "Merges by users, newest first",
                {200: MergePage, **_FAILURES},
                query=paging.PageQuery,
            ),
            Endpoint(
                "POST",
                "/api/organizations/merges",
                self.merge_organizations,
                "Merge two organizations, or preview it",
                {
                    200: MergeAnswer,
                    **_FAILURES,
                    404: "The company has no such organization",
                    409: NOT_MERGED,
                },
                body=MergeWanted,
            ),
            Endpoint(
                "POST",
                "/api/organizations/separations",
                self.separate_organization,
                "Separate records from the rest of their organization, or preview it",
                {
                    200: SeparationAnswer,
                    **_FAILURES,
                    404: "No such organization in the company, or no such record in it",
                    409: "These are all of its records, or it has too many",
                },
                body=SeparationWanted,
            ),
            Endpoint(
                "POST",
                "/api/organizations/merges/{id}/undo",
                self.undo_organization_merge,
                "Undo a merge",
                {
                    200: UndoAnswer,
                    **_FAILURES,
                    404: "The company has no such merge",
                    409: "It is already undone",
                },
                path_parameters={"id": UuidParameter("the merge's UUID")},
            ),
        )

    async def list_organization_reviews(self, request: web.Request) -> web.Response:
        asker, asked = identity(request), query(request, paging.PageQuery)
        page = await reviewing.reviews(self.pool, asker.company_id, asked)
        return answer(page.model_dump(by_alias=True))

    async def decide_organization_review(self, request: web.Request) -> web.Response:
        asker = identity(request)
        wanted = await body(request, ReviewDecision)
        review_id = path_uuid(request)
        done = await self.judge.decide(asker, review_id, wanted.decision)
        shown = answers.organization(done.organization)
        decided = DecisionAnswer(
            id=review_id,
            decision=wanted.decision,
            verdict_id=plain(done.verdict_id),
            organization_id=shown.id,
            organization=shown,
        )
        return answer(decided.model_dump(by_alias=True))

    async def list_organization_merges(self, request: web.Request) -> web.Response:
        asker, asked = identity(request), query(request, paging.PageQuery)
        page = await reviewing.merges(self.pool, asker.company_id, asked)
        return answer(page.model_dump(by_alias=True))

    async def merge_organizations(self, request: web.Request) -> web.Response:
        asker = identity(request)
        wanted = await body(request, MergeWanted)
        done = await self.judge.merge(
            asker,
            wanted.winner_id,
            wanted.loser_id,
            dry_run=wanted.dry_run,
            reason=wanted.reason,
        )
        return answer(shape.merged(done).model_dump(by_alias=True))

    async def separate_organization(self, request: web.Request) -> web.Response:
        asker = identity(request)
        wanted = await body(request, SeparationWanted)
        verdict_id, parts = await self.judge.separate(
            asker,
            wanted.organization_id,
            wanted.record_ids,
            dry_run=wanted.dry_run,
            reason=wanted.reason,
        )
        return answer(shape.separated(verdict_id, parts).model_dump(by_alias=True))

    async def undo_organization_merge(self, request: web.Request) -> web.Response:
        undone = await self.judge.undo(identity(request), path_uuid(request))
        reason = _what_came_of(undone)
        told = UndoAnswer(
            id=plain(undone.verdict.verdict_id),
            organization_ids=sorted(map(plain, undone.homes)),
            together=reason == TOGETHER,
            reason=reason,
        )
        return answer(told.model_dump(by_alias=True))


def _what_came_of(undone: Undone) -> str:
    if undone.verdict.is_about_one:
        return ASKED_AGAIN
    if not all(undone.sides):
        return GONE
    return TOGETHER if len(undone.homes) == 1 else APART
