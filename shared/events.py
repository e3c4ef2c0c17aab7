"""The facts on the bus: what each topic carries, under which key.

Rule 1: models are frozen; consumers ignore unknown fields, producers only ever add optional ones,
        so old and new bytes are read by old and new code alike.
Rule 2: an entity's fields are all optional: a body that lacks a field says nothing about it, and
        `model_fields_set` distinguishes absent from null.
Rule 3: one spelling for each fact, whichever of Pipedrive's four it came in.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Poison
from shared.register import Stamp, Write

BIGINT_MAX = 2**63 - 1
Id = Annotated[int, Field(ge=0, le=BIGINT_MAX)]
"""An id in Pipedrive; fits a Postgres bigint."""


_A_DAY = timedelta(days=1)
FIRST = datetime.min.replace(tzinfo=UTC) + _A_DAY
LAST = datetime.max.replace(tzinfo=UTC) - _A_DAY


def _instant(value: datetime) -> datetime:
    """In UTC, and within the range that Postgres' driver does not read as infinite."""
    if FIRST.year < value.year < LAST.year and not value.utcoffset():  # nearly always
        # Same as replace(tzinfo=UTC), in a sixth of its time. The parser has its own time zone
        # class.
        return value if value.tzinfo is UTC else datetime.combine(value, value.time(), UTC)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return min(max(value, FIRST), LAST).astimezone(UTC)


def _day(value: date) -> date:
    return min(max(value, FIRST.date()), LAST.date())


Instant = Annotated[datetime, AfterValidator(_instant)]
Day = Annotated[date, AfterValidator(_day)]


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


RANK = {Action.CREATE: 0, Action.CHANGE: 1, Action.DELETE: 2}


class Source(StrEnum):
    WEBHOOK_V1 = "webhook.v1"
    WEBHOOK_V2 = "webhook.v2"
    SYNC = "sync"
    IMPORT = "import"
    APP = "app"


class ContactPoint(Fact):
    """An e-mail address or a phone number."""

    value: str
    label: str | None = None
    primary: bool = False


class Person(Fact):
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    emails: tuple[ContactPoint, ...] | None = None
    phones: tuple[ContactPoint, ...] | None = None
    org_id: Id | None = None
    owner_id: Id | None = None
    job_title: str | None = None
    label_ids: tuple[int, ...] | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None
    custom_fields: dict[str, Any] | None = None


class Organization(Fact):
    """`size` is the number of employees as Pipedrive or a user wrote it."""

    name: str | None = None
    owner_id: Id | None = None
    industry: str | None = None
    size: str | None = None
    website: str | None = None
    address: str | None = None
    country: str | None = None
    city: str | None = None
    postcode: str | None = None
    label_ids: tuple[int, ...] | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None
    custom_fields: dict[str, Any] | None = None


class Deal(Fact):
    """`value` in `currency` units, as in Pipedrive (not minor units)."""

    title: str | None = None
    value: float | None = None
    currency: str | None = None
    status: str | None = None
    person_id: Id | None = None
    org_id: Id | None = None
    owner_id: Id | None = None
    stage_id: Id | None = None
    pipeline_id: Id | None = None
    is_archived: bool | None = None
    won_time: Instant | None = None
    lost_time: Instant | None = None
    close_time: Instant | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None
    custom_fields: dict[str, Any] | None = None


class Activity(Fact):
    subject: str | None = None
    type: str | None = None
    done: bool | None = None
    due_date: Day | None = None
    marked_as_done_time: Instant | None = None
    person_id: Id | None = None
    org_id: Id | None = None
    deal_id: Id | None = None
    lead_id: str | None = None
    owner_id: Id | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None


class Lead(Fact):
    title: str | None = None
    person_id: Id | None = None
    org_id: Id | None = None
    owner_id: Id | None = None
    label_ids: tuple[str, ...] | None = None
    value: float | None = None
    currency: str | None = None
    is_archived: bool | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None
    custom_fields: dict[str, Any] | None = None


class User(Fact):
    name: str | None = None
    email: str | None = None
    active: bool | None = None
    locale: str | None = None
    timezone_name: str | None = None
    default_currency: str | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None


class Note(Fact):
    content: str | None = None
    person_id: Id | None = None
    org_id: Id | None = None
    deal_id: Id | None = None
    lead_id: str | None = None
    owner_id: Id | None = None
    add_time: Instant | None = None
    update_time: Instant | None = None


class Unmodelled(Fact):
    """An entity we have no model for, as received."""

    model_config = ConfigDict(frozen=True, extra="allow")


class CampaignMembership(Fact):
    """What a user of ours decided about a contact; it has no counterpart in Pipedrive."""

    added_to_campaign: bool


class SessionRevocation(Fact):
    """A revoked token of a user, until it would have expired; without a token, all that were
    issued until then.
    """

    user_id: Id
    token_id: str | None = None
    expires_at: Instant | None = None


class ScoringWeights(Fact):
    """A company's weights from now on: the whole table, who decided it, and why. Only scoring
    knows the table's format.
    """

    weights: dict[str, Any]
    user_id: Id
    reason: str


EntityT = TypeVar("EntityT", bound=Fact)


class OrganizationVerdict(Fact):
    """A user's verdict about organizations' records, by their ids: those of both sides are one
    organization ("same"; the left side's id stays, unless it is the only side), or the sides are
    different ("distinct"). Withdrawing it is a change of it. `left_id` and `right_id` are the
    organizations as the user saw them; the record of `left_id` keeps its organization's id like
    those of the left side, as long as it exists. `score`, `matcher_version` and `review_id` say
    what was answered. A record created in Pipedrive for a user-made organization is linked to it
    by a verdict in the user's name.
    """

    decision: Literal["same", "distinct"] | None = None
    left_records: tuple[UUID, ...] | None = None
    right_records: tuple[UUID, ...] | None = None
    left_id: UUID | None = None
    right_id: UUID | None = None
    decided_by: Id | None = None
    reason: str | None = None
    score: float | None = None
    matcher_version: int | None = None
    review_id: UUID | None = None
    withdrawn: bool | None = None
    withdrawn_by: Id | None = None


class Change(Fact, Generic[EntityT]):
    """What happened to one entity of one Pipedrive company; the value of every log topic.

    `version` is in microseconds and orders the writes of one entity; `data` is null on delete.
    `merged_into` (on a delete) and `merged_from` (on a change) name the other side of a merge.
    """

    event_id: str
    company_id: Id
    entity: str
    entity_id: str
    action: Action
    version: Annotated[int, Field(ge=0, le=BIGINT_MAX)]
    occurred_at: Instant
    received_at: Instant
    source: Source
    merged_into: str | None = None
    merged_from: str | None = None
    data: EntityT | None = None

    @property
    def key(self) -> bytes:
        return key(self.company_id, self.entity_id)

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.version, RANK[self.action], self.event_id)

    @property
    def number(self) -> int:
        """The entity's id as a number, which everything but leads has in Pipedrive.

        Raises:
            Poison: it is not a number.
        """
        return number(self.entity_id)


PersonChange = Change[Person]
OrganizationChange = Change[Organization]
DealChange = Change[Deal]
ActivityChange = Change[Activity]
LeadChange = Change[Lead]
UserChange = Change[User]
NoteChange = Change[Note]
OtherChange = Change[Unmodelled]
CampaignChange = Change[CampaignMembership]
ScoringWeightsChange = Change[ScoringWeights]
SessionChange = Change[SessionRevocation]
OrganizationVerdictChange = Change[OrganizationVerdict]


MODELS: dict[str, type[Fact]] = {
    "person": Person,
    "organization": Organization,
    "deal": Deal,
    "activity": Activity,
    "lead": Lead,
    "user": User,
    "note": Note,
}
"""The entities we have a model for; everything else is `Unmodelled`."""


def key(company_id: int, entity_id: object) -> bytes:
    """Kafka key: all changes of one entity stay in order in one partition."""
    return b"%d:%s" % (company_id, str(entity_id).encode())


def dump(fact: Fact) -> bytes:
    """A fact's bytes. Absent fields stay absent; times end in Z."""
    return orjson.dumps(fact.model_dump(exclude_unset=True), option=orjson.OPT_UTC_Z)


FactT = TypeVar("FactT", bound=Fact)


def parse(model: type[FactT], value: bytes | None) -> FactT:
    """Read a record's value.

    Raises:
        Poison: the bytes are not such a fact.

    """
    try:
        return model.model_validate_json(value or b"")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "value"
        raise Poison(f"not a {model.__name__}: {where}: {first['msg']}") from error


LONGEST_NUMBER = 19


def number(entity_id: str) -> int:
    """An entity's id as a number.

    Only plain digits: `int` would also accept other spellings of the same id.

    Raises:
        Poison: it is not an id of Pipedrive's.
    """
    plain = entity_id.isascii() and entity_id.isdigit() and len(entity_id) <= LONGEST_NUMBER
    found = int(entity_id) if plain else -1
    if not 0 <= found <= BIGINT_MAX:
        raise Poison(f"not an id that Pipedrive gives: {entity_id[:40]!r}")
    return found


def writes(change: Change[Any], carried: dict[str, Any]) -> Iterator[tuple[str, Write]]:
    """The writes of a change to its own entity and, after a merge, to the loser.

    Yields (entity id, write). `carried` are the entity's fields in the consumer's own names.
    The survivor's change alone proves that the loser is gone, so it also writes the loser's
    tombstone: the loser's own delete may come later, earlier, or never. A plain delete says
    nothing about a merge; only a later sign of life of the loser undoes one.
    """
    deleted = change.action is Action.DELETE
    own = dict(carried)
    if not deleted:
        own["merged_into"] = None
    elif change.merged_into:
        own["merged_into"] = change.merged_into
    yield change.entity_id, Write(change.stamp, deleted, own)
    if change.merged_from and change.merged_from != change.entity_id:
        stamp = Stamp(change.version, RANK[Action.DELETE], change.event_id)
        yield change.merged_from, Write(stamp, True, {"merged_into": change.entity_id})


def numbered(write: Write) -> Write:
    """The write with the other side of a merge as a number.

    Raises:
        Poison: it is not a number.
    """
    into = write.carried.get("merged_into")
    if into is None:
        return write
    return replace(write, carried={**write.carried, "merged_into": number(into)})
