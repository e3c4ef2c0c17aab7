"""What a batch of facts does to the read model, worked out before anything is written. Pure.

Rule 1: a batch is sorted by subject; within a contact or an activity each fact is one more write,
        and their order does not matter.
Rule 2: counters move by the contacts' states before and after, never by what the facts say.
Rule 3: a user is affected when a row on the user's pages has changed; repeated facts affect
        nobody.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.query import contact
from services.query.contact import NO_ACTIVITY, UNKNOWN, Contact, Key
from shared import access, events, register, states, topics
from shared.register import Register, Write
from shared.tenants import CustomFields

CustomFieldsOf = Callable[[int], CustomFields]


class User(NamedTuple):
    """`user_id` null stands for every user of the company."""

    company_id: int
    user_id: int | None


class Organization(NamedTuple):
    company_id: int
    organization_id: UUID


class Count(NamedTuple):
    """The key of `user_counts`."""

    company_id: int
    owner_id: int
    not_in_campaign: bool
    score: int


class Share(NamedTuple):
    """The key of `user_organizations`."""

    company_id: int
    organization_id: UUID
    owner_id: int


@dataclass(slots=True)
class Batch:
    """Facts, by subject."""

    persons: list[tuple[Key, Write]] = field(default_factory=list)
    activities: list[tuple[Key, Write]] = field(default_factory=list)
    campaigns: list[tuple[Key, events.CampaignChange]] = field(default_factory=list)
    links: list[states.ContactLink] = field(default_factory=list)
    scores: list[states.ScoreState] = field(default_factory=list)
    organizations: dict[Organization, states.OrganizationState] = field(default_factory=dict)
    statuses: dict[int, states.SyncStatus] = field(default_factory=dict)
    users: list[tuple[Key, Write]] = field(default_factory=list)
    revocations: list[events.SessionChange] = field(default_factory=list)
    received: list[datetime] = field(default_factory=list)

    def named_by_activities(self) -> set[Key]:
        """The persons that the activities name."""
        told = ((key, write.carried.get("person_id")) for key, write in self.activities)
        return {Key(key.company_id, person) for key, person in told if person is not None}

    def contacts(self) -> set[Key]:
        """The persons that the facts are about, including those they were merged into."""
        keys = {key for key, _ in self.persons}
        keys |= {key for key, _ in self.campaigns}
        keys |= {Key(said.company_id, said.person_id) for said in self.links}
        keys |= {Key(said.company_id, said.person_id) for said in self.scores}
        for key, write in self.persons:
            into = write.carried.get("merged_into")
            if into is not None:
                keys.add(Key(key.company_id, into))
        return keys

    def changed_organizations(self) -> set[Organization]:
        """The organizations that the facts are about, including those that their ids lead to."""
        led = {
            Organization(said.company_id, said.merged_into)
            for said in self.organizations.values()
            if said.merged_into is not None
        }
        return led | self.organizations.keys()


def sort(facts: Iterable[tuple[str, Any]], custom_of: CustomFieldsOf) -> Batch:
    """Raises:
    Poison: an id is not a number.
    """
    batch = Batch()
    for topic, fact in facts:
        _ADD[topic](batch, fact, custom_of)
    return batch


def _add_person(batch: Batch, change: events.PersonChange, custom_of: CustomFieldsOf) -> None:
    batch.persons.extend(contact.person_writes(change, custom_of(change.company_id)))
    batch.received.append(change.received_at)


def _add_activity(batch: Batch, change: events.ActivityChange, _: CustomFieldsOf) -> None:
    key = Key(change.company_id, change.number)
    batch.activities.append((key, contact.activity_write(change)))
    batch.received.append(change.received_at)


def _add_campaign(batch: Batch, change: events.CampaignChange, _: CustomFieldsOf) -> None:
    batch.campaigns.append((Key(change.company_id, change.number), change))
    batch.received.append(change.received_at)


def _add_organization(batch: Batch, said: states.OrganizationState, _: CustomFieldsOf) -> None:
    key = Organization(said.company_id, said.organization_id)
    held = batch.organizations.get(key)
    if held is None or said.version > held.version:
        batch.organizations[key] = said


def _add_status(batch: Batch, said: states.SyncStatus, _: CustomFieldsOf) -> None:
    held = batch.statuses.get(said.company_id)
    if held is None or said.version > held.version:
        batch.statuses[said.company_id] = said


def _add_user(batch: Batch, change: events.UserChange, _: CustomFieldsOf) -> None:
    batch.users.append((Key(change.company_id, change.number), access.user_write(change)))
    batch.received.append(change.received_at)


def _add_revocation(batch: Batch, change: events.SessionChange, _: CustomFieldsOf) -> None:
    if change.data is not None:
        batch.revocations.append(change)
    batch.received.append(change.received_at)


_ADD: Mapping[str, Callable[[Batch, Any, CustomFieldsOf], None]] = {
    topics.PERSONS.name: _add_person,
    topics.ACTIVITIES.name: _add_activity,
    topics.APP_CAMPAIGN.name: _add_campaign,
    topics.CONTACT_LINKS.name: lambda batch, said, _: batch.links.append(said),
    topics.SCORES.name: lambda batch, said, _: batch.scores.append(said),
    topics.ORG_STATES.name: _add_organization,
    topics.SYNC_STATUS.name: _add_status,
    topics.USERS.name: _add_user,
    topics.APP_SESSIONS.name: _add_revocation,
}


def activities_after(batch: Batch, before: Mapping[Key, Register]) -> dict[Key, Register]:
    """The activities that have changed."""
    rows: dict[Key, Register] = {}
    for key, write in batch.activities:
        rows[key] = register.apply(rows.get(key) or before.get(key, NO_ACTIVITY), write)
    return {key: row for key, row in rows.items() if row != before.get(key)}


def persons_of(rows: Iterable[Mapping[Key, Register]]) -> set[Key]:
    """The persons whose activities these are."""
    return {
        Key(key.company_id, row.fields["person_id"])
        for activities in rows
        for key, row in activities.items()
        if row.fields["person_id"] is not None
    }


def look_different(before: Mapping[Key, Contact], after: Mapping[Key, Contact]) -> set[Key]:
    """The contacts that look different on a page."""
    return {key for key, row in after.items() if row.looks != before.get(key, UNKNOWN).looks}


def persons_of_different(
    before: Mapping[Key, Register], after: Mapping[Key, Register]
) -> set[Key]:
    """Persons of activities, before or after, that changed in more than the stamp."""
    found = {key for key, row in after.items() if not _is_same(before.get(key), row)}
    sides = [{key: rows[key] for key in found & rows.keys()} for rows in (before, after)]
    return persons_of(sides)


def _is_same(was: Register | None, row: Register) -> bool:
    return was is not None and (was.deleted, was.fields) == (row.deleted, row.fields)


def contacts_after(batch: Batch, before: Mapping[Key, Contact]) -> dict[Key, Contact]:
    """The contacts that have changed."""
    rows: dict[Key, Contact] = {}

    def held(key: Key) -> Contact:
        return rows.get(key) or before.get(key, UNKNOWN)

    for key, write in batch.persons:
        rows[key] = contact.with_person(held(key), write)
    for key, change in batch.campaigns:
        rows[key] = contact.with_campaign(held(key), change)
    for link in batch.links:
        key = Key(link.company_id, link.person_id)
        rows[key] = contact.with_link(held(key), link)
    for score in batch.scores:
        key = Key(score.company_id, score.person_id)
        rows[key] = contact.with_score(held(key), score)
    return {key: row for key, row in rows.items() if row != before.get(key, UNKNOWN)}


@dataclass(frozen=True, slots=True)
class Moves:
    """How the counters move; unchanged entries are left out."""

    counts: Mapping[Count, int]
    shares: Mapping[Share, int]


def moves(before: Mapping[Key, Contact], after: Mapping[Key, Contact]) -> Moves:
    counts: Counter[Count] = Counter()
    shares: Counter[Share] = Counter()
    for key, row in after.items():
        _count(counts, shares, key, row, 1)
        was = before.get(key)
        if was is not None:
            _count(counts, shares, key, was, -1)
    return Moves(
        {count: by for count, by in counts.items() if by},
        {share: by for share, by in shares.items() if by},
    )


def _count(
    counts: Counter[Count], shares: Counter[Share], key: Key, row: Contact, by: int
) -> None:
    owner = row.owner
    if owner is None:
        return
    counts[Count(key.company_id, owner, not row.campaign.added, row.score.score)] += by
    organization_id = row.link.organization_id
    if organization_id is not None:
        shares[Share(key.company_id, organization_id, owner)] += by


def shown_as(rows: Mapping[Key, Contact], key: Key) -> Iterator[Key]:
    """The chain from a person along its merges, the person itself first; loops end."""
    seen: set[int] = set()
    number: int | None = key.number
    while number is not None and number not in seen:
        seen.add(number)
        step = Key(key.company_id, number)
        yield step
        row = rows.get(step)
        number = row.merged_into if row is not None else None


class Shown(NamedTuple):
    """A contact in one user's list."""

    user: User
    contact: Key


def shown(keys: Iterable[Key], rows: Mapping[Key, Contact]) -> set[Shown]:
    """In whose lists these persons, or those they were merged into, are."""
    found = set()
    for key in keys:
        at = key
        row = rows.get(key)
        if row is not None and row.merged_into is not None:
            *_, at = shown_as(rows, key)
            row = rows.get(at)
        if row is not None and row.owner is not None:
            found.add(Shown(User(key.company_id, row.owner), at))
    return found


def sorted_moves(counter: Mapping[Any, int]) -> Sequence[tuple[Any, ...]]:
    """In one order everywhere, so that two batches wait for each other and never deadlock."""
    return sorted((*key, by) for key, by in counter.items())
