"""The request and response bodies of reviews and merges."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from services.orgs import answers, grouping, moments
from services.orgs.answers import OrganizationAnswer, free_of_nul
from services.orgs.grouping import Record
from services.orgs.judging.parting import Part
from services.orgs.judging.review_store import Review
from services.orgs.judging.saying import Merged
from services.orgs.judging.verdict_store import Verdict
from services.orgs.matching import score
from services.orgs.matching.asking import Was
from services.orgs.matching.features import NAMES, Features
from services.orgs.paging import Pagination
from services.orgs.rows import plain
from shared.json_model import Json

LONGEST_REASON = 500
MOST_PARTED = 1_000
"""Most records that a separation may name."""
MOST_FIRST = 100
"""Most records listed of those that a merge moves, or of a part that a separation leaves."""

Reason = Annotated[str, Field(max_length=LONGEST_REASON), AfterValidator(free_of_nul)]


class RecordAnswer(Json):
    """An organization in Pipedrive, or one that a user created."""

    record_id: UUID
    pipedrive_org_id: str | None
    made_by: str | None
    name: str | None
    website: str | None
    address: str | None
    country: str | None
    city: str | None


class Side(Json):
    """An organization, and the record of it that resembles the other side."""

    organization: OrganizationAnswer
    record: RecordAnswer
    records: int


class FeatureAnswer(Json):
    """How far two records agree on something, from 0 to 1, and what it adds to the score's sum."""

    name: str
    value: float
    points: float


class Moves(Json):
    """What would move to the winner."""

    contacts: int
    records: int


class ReviewAnswer(Json):
    """Are these one organization? `winner` is the side that would keep its id in a merge.

    A "renamed" one asks of a single record whose name and domain both changed whether it is still
    the same organization ("merge"), or its id was given to another one ("separate"): `winner`
    shows it as it is, `loser` as it was.
    """

    id: UUID
    kind: Literal["alike", "renamed"]
    score: float
    reasons: Sequence[str]
    features: Sequence[FeatureAnswer]
    winner: Side
    loser: Side
    moves: Moves


class ReviewPage(Json):
    reviews: Sequence[ReviewAnswer]
    pagination: Pagination


class ReviewDecision(Json):
    """Merge them, or say that they are different and never ask again."""

    decision: Literal["merge", "separate"]


class MergeWanted(Json):
    """Two organizations to merge, by a current or former id; a dry run changes nothing."""

    winner_id: UUID
    loser_id: UUID
    dry_run: bool = Field(False, strict=True)
    reason: Reason | None = None


class SeparationWanted(Json):
    """Records that do not belong to the rest of their organization, which is named by a current
    or former id; a dry run only shows what would result.
    """

    organization_id: UUID
    record_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_PARTED)]
    dry_run: bool = Field(False, strict=True)
    reason: Reason | None = None


class PartAnswer(Json):
    """A resulting organization: how many records it has, the first of them, and how many
    contacts.
    """

    organization_id: UUID
    name: str | None
    contacts: int
    records: int
    first_records: Sequence[RecordAnswer]


class SeparationAnswer(Json):
    """The separation, done or previewed.

    `id` is the verdict's. The part that keeps the organization's id comes first. Merging the parts
    reverses it.
    """

    id: UUID | None
    dry_run: bool
    organizations: Sequence[PartAnswer]


class FieldAnswer(Json):
    """A field's value, and the record that it comes from."""

    value: str | None
    record_id: UUID | None


class MergeAnswer(Json):
    """`id` undoes it. `overrides` are "not the same" verdicts that this merge overrides."""

    id: UUID | None
    dry_run: bool
    winner_id: UUID
    loser_id: UUID
    moves: Moves
    moving: Sequence[RecordAnswer]
    fields: Mapping[str, FieldAnswer]
    overrides: Sequence[UUID]
    organization: OrganizationAnswer


class DecisionAnswer(Json):
    """A merge's `verdict_id` undoes it. `organization_id` is where the winner's records are."""

    id: UUID
    decision: Literal["merge", "separate"]
    verdict_id: UUID
    organization_id: UUID
    organization: OrganizationAnswer


class UndoAnswer(Json):
    """`together`: the rules or another verdict still hold it together as one organization."""

    id: UUID
    organization_ids: Sequence[UUID]
    together: bool
    reason: str


class PastMerge(Json):
    """A merge that a user made, directly or by answering a question."""

    id: UUID
    winner_id: UUID | None
    loser_id: UUID | None
    organization_ids: Sequence[UUID]
    merged_by: str | None
    merged_at: datetime
    reason: str | None
    score: float | None
    matcher_version: int | None
    review_id: UUID | None
    undone: bool
    undone_by: str | None
    undone_at: datetime | None


class MergePage(Json):
    merges: Sequence[PastMerge]
    pagination: Pagination


def record(found: Record) -> RecordAnswer:
    held = found.register.fields
    return RecordAnswer(
        record_id=plain(found.record_id),
        pipedrive_org_id=text(found.pipedrive_org_id),
        made_by=text(held["made_by"]),
        name=held["name"],
        website=held["website"],
        address=held["address"],
        country=held["country"],
        city=held["city"],
    )


def former(was: Was, now: RecordAnswer) -> RecordAnswer:
    """A record as it was under its former name and domain."""
    told = {"name": was.name, "website": was.domain, "address": None, "country": None}
    return now.model_copy(update={**told, "city": None})


def features(review: Review) -> list[FeatureAnswer]:
    """Those that this version weighs: the question may come from another version."""
    told = {name: value for name, value in review.features.items() if name in NAMES}
    return [
        FeatureAnswer(name=one.feature, value=round(one.value, 4), points=round(one.points, 4))
        for one in score.shares(Features(**told))
    ]


def merged(done: Merged) -> MergeAnswer:
    prospect, sides = done.prospect, done.sides
    sources = grouping.sources(prospect.records)
    fields = {
        name: FieldAnswer(
            value=getattr(prospect.survivor.shown, name),
            record_id=plain(sources[name]) if name in sources else None,
        )
        for name in grouping.SHOWN_FIELDS
    }
    return MergeAnswer(
        id=None if done.merge_id is None else plain(done.merge_id),
        dry_run=done.merge_id is None,
        winner_id=plain(sides.winner.organization_id),
        loser_id=plain(sides.loser.organization_id),
        moves=Moves(contacts=prospect.contacts, records=len(prospect.moving)),
        moving=_first(prospect.moving),
        fields=fields,
        overrides=[plain(each) for each in prospect.overridden],
        organization=answers.organization(done.survivor or prospect.survivor),
    )


def separated(verdict_id: UUID | None, parts: Sequence[Part]) -> SeparationAnswer:
    return SeparationAnswer(
        id=None if verdict_id is None else plain(verdict_id),
        dry_run=verdict_id is None,
        organizations=list(map(_part, parts)),
    )


def _first(records: Sequence[Record]) -> list[RecordAnswer]:
    return [record(each) for each in records[:MOST_FIRST]]


def _part(found: Part) -> PartAnswer:
    records = found.group.records
    return PartAnswer(
        organization_id=plain(found.group.organization_id),
        name=grouping.shown(records).name,
        contacts=found.contacts,
        records=len(records),
        first_records=_first(records),
    )


def past(verdict: Verdict, homes: Sequence[UUID]) -> PastMerge:
    """`homes` are the organizations that its records are in."""
    said = verdict.field
    return PastMerge(
        id=plain(verdict.verdict_id),
        winner_id=said("left_id") and plain(said("left_id")),
        loser_id=said("right_id") and plain(said("right_id")),
        organization_ids=sorted(map(plain, homes)),
        merged_by=text(said("decided_by")),
        merged_at=moments.of_version(verdict.decided.version),
        reason=said("reason"),
        score=said("score"),
        matcher_version=said("matcher_version"),
        review_id=said("review_id") and plain(said("review_id")),
        undone=verdict.is_withdrawn,
        undone_by=text(said("withdrawn_by")),
        undone_at=moments.of_version(verdict.withdrawn.version) if verdict.is_withdrawn else None,
    )


def text(number: int | None) -> str | None:
    return None if number is None else str(number)
