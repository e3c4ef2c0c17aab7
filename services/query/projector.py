"""Applies batches of facts to the read model, in the consumer's transaction.

The order of locks, the same everywhere: the stored offsets, persons, organizations, rows.
Persons are locked with all they were merged into, and organizations with every change of who sees
them, so that whoever a change affects is found and marked whatever else is under way.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from services.query import batch, projection, tally_store
from services.query.batch import Batch, Organization, Shown, User
from services.query.contact import Contact, Key
from services.query.invalidation import Invalidation
from services.query.live import store as live_store
from services.query.live import touched
from services.query.live.touched import Seen
from services.query.projection import MovedOrganization
from services.query.searching import recording
from services.query.sessions import store as access_store
from shared import db
from shared.kafka.consumer import AfterCommit, Received
from shared.observability import EVENT_AGE
from shared.register import Register
from shared.tenants import CustomFields, Tenants


class Projector:
    def __init__(self, tenants: Tenants, invalidation: Invalidation) -> None:
        self._tenants = tenants
        self._invalidation = invalidation

    async def apply(self, conn: db.Connection, facts: Sequence[Received]) -> AfterCommit:
        """Raises:
        Poison: some fact can never be applied.
        """
        sorted_facts = batch.sort(facts, self._custom_fields)
        users = await project(conn, sorted_facts)
        await access_store.project(conn, sorted_facts)
        if users:
            await self._invalidation.mark(users, await projection.transaction(conn))

        async def after() -> None:
            await self._invalidation.settle()
            now = time.time()
            for received_at in sorted_facts.received:
                EVENT_AGE.observe(now - received_at.timestamp())

        return after

    def _custom_fields(self, company_id: int) -> CustomFields:
        return self._tenants.get(company_id).custom_fields


async def project(conn: db.Connection, facts: Batch) -> set[User]:
    """Write what the facts make true; returns the users who see a difference."""
    activities_before = await _activities(conn, facts)
    activities = batch.activities_after(facts, activities_before)
    were = {key: row for key, row in activities_before.items() if key in activities}
    spoken_of = batch.persons_of([activities, were])
    before = await _locked_contacts(conn, facts.contacts() | spoken_of)
    after = batch.contacts_after(facts, before)
    moves = batch.moves(before, after)
    organizations = {Organization(s.company_id, s.organization_id) for s in moves.shares}
    await projection.lock_organizations(conn, organizations | set(facts.organizations))
    contacts = _shown(spoken_of | set(after), before, after)
    tallied = await tally_store.activity_moves(conn, (before, after), (were, activities))
    await projection.write_contacts(conn, before, after)
    if activities:
        await projection.write_activities(conn, activities)
    shares = await tally_store.move_shares(conn, moves.shares)
    await projection.move_counts(conn, moves)
    organizations_seen: list[Seen] = []
    moved: list[MovedOrganization] = []
    if facts.organizations:
        moved = await projection.write_organizations(conn, facts.organizations)
        organizations_seen = await projection.seen_by(conn, moved)
        shares += await tally_store.sync_shares(conn, facts.organizations)
    await tally_store.move(conn, tallied, shares)
    await recording.record(conn, before, after, moved)
    companies: set[User] = set()
    if facts.statuses:
        companies = await projection.write_statuses(conn, facts.statuses.values())
    names = touched.by_user(contacts, organizations_seen)
    await live_store.append(conn, names, companies)
    return companies.union(names)


async def _activities(conn: db.Connection, facts: Batch) -> Mapping[Key, Register]:
    if not facts.activities:
        return {}
    keys = {key for key, _ in facts.activities}
    await projection.lock_activities(conn, keys)
    return await projection.activities(conn, keys)


async def _locked_contacts(conn: db.Connection, wanted: Iterable[Key]) -> dict[Key, Contact]:
    """The contacts, and those they were merged into, each locked before it is read."""
    held: dict[Key, Contact] = {}
    missing = set(wanted)
    seen: set[Key] = set()
    while missing:
        await projection.lock_persons(conn, missing)
        held |= await projection.contacts(conn, missing)
        seen |= missing
        missing = {into for key in missing if (into := _merged_into(held, key))} - seen
    return held


def _merged_into(rows: Mapping[Key, Contact], key: Key) -> Key | None:
    """Also of a person that lives again: a later delete would make it count once more."""
    row = rows.get(key)
    into = row.person.fields["merged_into"] if row is not None else None
    return Key(key.company_id, into) if into is not None else None


def _shown(
    keys: Iterable[Key], before: Mapping[Key, Contact], after: Mapping[Key, Contact]
) -> set[Shown]:
    keys = list(keys)
    return batch.shown(keys, before) | batch.shown(keys, {**before, **after})
