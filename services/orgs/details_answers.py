"""What the endpoint of one organization answers beyond the organization's own fields."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.orgs.answers import OrganizationAnswer
from services.orgs.judging.answers import RecordAnswer
from shared.json_model import Json


class AliasAnswer(Json):
    """A name that a record of the organization has or had, in its latest spelling."""

    name: str
    record_id: UUID
    since: datetime
    last_told: datetime


class SourceAnswer(RecordAnswer):
    """A record of the organization. `fields` are those shown from it; `living` is false for one
    that was merged into another in Pipedrive.
    """

    living: bool
    merged_into: str | None
    updated_at: datetime
    fields: Sequence[str]


Kind = Literal[
    "renamed", "confirmed", "reused", "merged", "merge_undone", "separated", "merged_in_pipedrive"
]


class Happening(Json):
    """What happened to the organization's records. A record whose name and domain both changed is
    "confirmed" where a user said that it is still the same, "reused" where it is another one.
    """

    kind: Kind
    at: datetime
    by: str | None = None
    record_ids: Sequence[UUID] = ()
    name: str | None = None
    verdict_id: UUID | None = None
    reason: str | None = None
    score: float | None = None
    matcher_version: int | None = None


class OrganizationDetails(OrganizationAnswer):
    """An organization with all names it has had, its records, and its history, newest first."""

    aliases: Sequence[AliasAnswer]
    sources: Sequence[SourceAnswer]
    history: Sequence[Happening]
