"""Applies batches of facts to the read model, in the consumer's transaction.

The order of locks is the same everywhere: the stored offsets, activities, persons, organizations,
rows. Persons are locked with all they were merged into, and organizations with every change of who
sees them, so that everyone whom a change affects is found and marked whatever runs concurrently.
Changes of who sees an organization exclude changes of the organization, but not one another.

Some persons are found only after others were read: the one an activity left, the one somebody was
merged into. Waiting for them then would violate the order, and sometimes deadlock. They are taken
if they are free; if not, the batch is rolled back and retried with all of them in order.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.query import batch, projection, tally_store
from services.query.batch import Batch, Moves, Organization, Shown, User
from services.query.contact import Contact, Key
from services.query.generation import Part, View
from services.query.invalidation import Invalidation
from services.query.live import store as live_store
from services.query.live import touched
from services.query.live.touched import Names, Seen
from services.query.projection import MovedOrganization
from services.query.searching import recording
from services.query.sessions import store as access_store
from services.query.tallies import ShareMove, Tally
from shared import db
from shared.errors import Unavailable
from shared.kafka.consumer import AfterCommit, Received
from shared.observability import EVENT_AGE
from shared.register import Register
from shared.tenants import CustomFields, Tenants


class Crossed(Unavailable):
    """Other batches hold persons that this one turned out to need. `persons` are all it is
    known to need.
    """

    def __init__(self, persons: Collection[Key]) -> None:
        super().__init__("other batches hold persons found late")
        self.persons = frozenset(persons)


class Projector:
    def __init__(self, tenants: Tenants, invalidation: Invalidation) -> None:
        self._tenants = tenants
        self._invalidation = invalidation
        self._crossed: frozenset[Key] = frozenset()

    async def apply(self, conn: db.Connection, facts: Sequence[Received]) -> AfterCommit:
        """Raises:
        Crossed: rolled back in favour of another batch, which the next call waits for.
        Poison: some fact can never be applied.
        """
        sorted_facts = batch.sort(facts, self._custom_fields)
        try:
            told = await _write(conn, sorted_facts, self._crossed)
        except Crossed as crossed:
            self._crossed = crossed.persons
            raise
        self._crossed = frozenset()
        number: str | None = None
        if told is not None:
            number = await self._invalidation.mark(told.parts, lambda: _tell(conn, told))

        async def after(*, committed: bool) -> None:
            await self._invalidation.settle(number if committed else None)
            now = time.time()
            for received_at in sorted_facts.received if committed else ():
                EVENT_AGE.observe(now - received_at.timestamp())

        return after

    def _custom_fields(self, company_id: int) -> CustomFields:
        return self._tenants.get(company_id).custom_fields


class Told(NamedTuple):
    """Whose pages differ once the transaction has committed, and what is published about it."""

    parts: set[Part]
    names: Mapping[User, Names]
    companies: set[User]


async def project(
    conn: db.Connection, facts: Batch, also: Collection[Key] = frozenset()
) -> Told | None:
    """Write what the facts make true, and announce it at the commit; returns who sees a
    difference, null if nobody does. Persons in `also` are locked from the start.

    Raises:
        Crossed: roll back, and try again with its persons as `also`.
    """
    told = await _write(conn, facts, also)
    if told is not None:
        await _tell(conn, told)
    return told


async def _tell(conn: db.Connection, told: Told) -> str:
    """Returns the transaction's id."""
    return await live_store.append(conn, told.names, told.companies)


async def _write(conn: db.Connection, facts: Batch, also: Collection[Key]) -> Told | None:
    """As `project`, without announcing it yet."""
    locked = facts.contacts() | facts.named_by_activities() | set(also)
    were, activities = await _activities(conn, facts, locked)
    spoken_of = batch.persons_of([activities, were])
    before = await _locked_contacts(conn, facts.contacts() | spoken_of, locked)
    after = batch.contacts_after(facts, before)
    await asyncio.sleep(0)  # requests for pages need not wait for a large batch
    moves = batch.moves(before, after)
    joined = {Organization(s.company_id, s.organization_id) for s in moves.shares}
    await projection.lock_organizations(conn, facts.changed_organizations(), joined)
    showing = batch.persons_of_different(were, activities) | batch.look_different(before, after)
    contacts = _shown(showing, before, after)
    tallied = await tally_store.activity_moves(conn, (before, after), (were, activities))
    await projection.write_contacts(conn, after)
    if activities:
        await projection.write_activities(conn, activities)
    shares = await tally_store.move_shares(conn, moves.shares)
    organizations_seen: list[Seen] = []
    moved: list[MovedOrganization] = []
    if facts.organizations:
        moved = await projection.write_organizations(conn, facts.organizations)
        organizations_seen = await projection.seen_by(conn, moved)
        shares += await tally_store.sync_shares(conn, facts.organizations)
    await recording.record(conn, before, after, moved)
    companies = await projection.write_statuses(conn, facts.statuses.values())
    # Last, since most batches have users' counters in common: they wait for one another.
    await tally_store.move(conn, moves.counts, tallied, shares)
    await access_store.project(conn, facts)
    names = touched.by_user(contacts, organizations_seen)
    if not names and not companies:
        return None
    counted = _counted(moves, tallied, shares) | {seen.user for seen in organizations_seen}
    return Told(_parts(names, companies, counted), names, companies)


async def _activities(
    conn: db.Connection, facts: Batch, persons: set[Key]
) -> tuple[Mapping[Key, Register], Mapping[Key, Register]]:
    """The changed activities, before and after; their persons are locked along with them."""
    keys = {key for key, _ in facts.activities}
    await projection.lock_named(conn, keys, persons)
    before = await projection.activities(conn, keys) if keys else {}
    after = batch.activities_after(facts, before)
    return {key: row for key, row in before.items() if key in after}, after


async def _locked_contacts(
    conn: db.Connection, wanted: Iterable[Key], locked: set[Key]
) -> dict[Key, Contact]:
    """The contacts, and those they were merged into, each locked before it is read.

    Raises:
        Crossed: one that is not `locked` is held by another batch.
    """
    held: dict[Key, Contact] = {}
    missing = set(wanted)
    seen: set[Key] = set()
    while missing:
        if not await projection.try_lock_persons(conn, missing - locked):
            raise Crossed(locked | missing)
        held |= await projection.contacts(conn, missing)
        seen |= missing
        missing = {into for key in missing if (into := _merged_into(held, key))} - seen
    return held


def _merged_into(rows: Mapping[Key, Contact], key: Key) -> Key | None:
    """Also for a person that lives again: a later delete would make it count once more."""
    row = rows.get(key)
    into = row.person.fields["merged_into"] if row is not None else None
    return Key(key.company_id, into) if into is not None else None


def _counted(
    moves: Moves, activities: Mapping[Tally, int], shares: Iterable[ShareMove]
) -> set[User]:
    """Users whose numbers move; one of their contacts looks different then, too."""
    counted = {User(count.company_id, count.owner_id) for count in moves.counts}
    counted |= {User(share.company_id, share.owner_id) for share in moves.shares}
    counted |= {User(tally.company_id, tally.owner_id) for tally, by in activities.items() if by}
    return counted | {share.user for share in shares if share.had or share.has}


def _parts(names: Iterable[User], companies: Iterable[User], counted: Iterable[User]) -> set[Part]:
    parts = {Part(company) for company in companies}
    parts |= {Part(user, View.CONTACTS) for user in names}
    return parts | {Part(user, View.OVERVIEW) for user in counted}


def _shown(
    keys: Iterable[Key], before: Mapping[Key, Contact], after: Mapping[Key, Contact]
) -> set[Shown]:
    keys = list(keys)
    return batch.shown(keys, before) | batch.shown(keys, {**before, **after})
