"""What is known of a contact and of an activity, and how each fact changes it. Pure.

Rule 1: the person's fields, the link, the score and the campaign are written by different topics
        and never touch one another.
Rule 2: the person and the activity are registers; a link and a score are the newest version from
        their only producer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from shared import events, register, states
from shared.events import ActivityChange, CampaignChange, PersonChange
from shared.register import NEVER, Register, Stamp, Write
from shared.tenants import CustomFields

PERSON_FIELDS: Final = (
    "owner_id",
    "name",
    "email",
    "phone",
    "job_title",
    "custom_job_title",
    "add_time",
    "update_time",
    "merged_into",
)
ACTIVITY_FIELDS: Final = ("person_id", "type", "subject", "done", "due_date", "add_time")

SECOND: Final = 1_000_000
"""In units of versions, which are microseconds."""

SAME_NAME: Final = frozenset({"owner_id", "name", "job_title", "add_time", "update_time"})


class Key(NamedTuple):
    """An entity of one company."""

    company_id: int
    number: int


class Link(NamedTuple):
    version: int = 0
    organization_id: UUID | None = None


class Score(NamedTuple):
    version: int = 0
    score: int = 0
    last_contacted: datetime | None = None


class Campaign(NamedTuple):
    stamp: Stamp = NEVER
    added: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    person: Register
    link: Link
    score: Score
    campaign: Campaign

    @property
    def owner(self) -> int | None:
        """Whose list the contact is on; null if on none."""
        owner: int | None = None if self.person.deleted else self.person.fields["owner_id"]
        return owner

    @property
    def merged_into(self) -> int | None:
        """The person that counts in place of this one."""
        into: int | None = self.person.fields["merged_into"] if self.person.deleted else None
        return into

    @property
    def looks(self) -> tuple[Any, ...]:
        """Equal if pages look the same: pages show seconds, and a sync that repeats a webhook's
        change has no finer time.
        """
        said = self.person.stamp.version
        newest = max(said, self.link.version, self.score.version, self.campaign.stamp.version)
        return (
            self.person.deleted,
            *self.person.fields.values(),
            self.link.organization_id,
            *self.score[1:],
            self.campaign.added,
            said // SECOND,
            newest // SECOND,
        )


UNKNOWN: Final = Contact(register.empty(PERSON_FIELDS), Link(), Score(), Campaign())
NO_ACTIVITY: Final = register.empty(ACTIVITY_FIELDS)


def person_writes(change: PersonChange, custom: CustomFields) -> Iterator[tuple[Key, Write]]:
    """The writes of a person's change: its own, and the tombstone of one merged into it.

    Raises:
        Poison: an id is not a number.
    """
    carried = _person(change.data, custom) if change.data is not None else {}
    for entity_id, write in events.writes(change, carried):
        yield Key(change.company_id, events.number(entity_id)), events.numbered(write)


def activity_write(change: ActivityChange) -> Write:
    deleted = change.action is events.Action.DELETE
    body = change.data
    names = body.model_fields_set.intersection(ACTIVITY_FIELDS) if body is not None else ()
    return Write(change.stamp, deleted, {name: getattr(body, name) for name in names})


def with_person(contact: Contact, write: Write) -> Contact:
    return replace(contact, person=register.apply(contact.person, write))


def with_link(contact: Contact, said: states.ContactLink) -> Contact:
    if said.version <= contact.link.version:
        return contact
    return replace(contact, link=Link(said.version, said.organization_id))


def with_score(contact: Contact, said: states.ScoreState) -> Contact:
    if said.version <= contact.score.version:
        return contact
    return replace(contact, score=Score(said.version, said.score, said.last_contacted))


def with_campaign(contact: Contact, change: CampaignChange) -> Contact:
    if change.stamp <= contact.campaign.stamp:
        return contact
    added = change.data is not None and change.data.added_to_campaign
    return replace(contact, campaign=Campaign(change.stamp, added))


def _person(person: events.Person, custom: CustomFields) -> dict[str, Any]:
    said = person.model_fields_set
    carried = {name: getattr(person, name) for name in said & SAME_NAME}
    if "emails" in said:
        carried["email"] = primary(person.emails)
    if "phones" in said:
        carried["phone"] = primary(person.phones)
    return carried | custom.told_title(person.custom_fields)


def primary(points: tuple[events.ContactPoint, ...] | None) -> str | None:
    """The entry marked primary, else the first; empty ones do not count."""
    filled = [point for point in points or () if point.value.strip()]
    chosen = next((point for point in filled if point.primary), None)
    if chosen is None:
        chosen = filled[0] if filled else None
    return chosen.value if chosen is not None else None
