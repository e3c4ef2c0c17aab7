"""Finds the organization that a user means, or creates it.

Rule 1: what a user describes is matched like an arriving record: the same partition decides, so
        the worker would not have united what is created here with another organization.
Rule 2: creators of one name, one core key or one domain wait for one another across instances, so
        one of them creates it and the others find it.
Rule 3: what a user created is in the log before it is in the store, so a rebuild has it; when the
        worker reads it there, nothing changes.
Rule 4: there is one user-made record per name. A request that states another domain or country
        than the record has, or where only one of them states it, means that record only if its
        organization may have these: else another record is created.
"""

import asyncio
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from services.orgs import (
    answers,
    applying,
    closure,
    grouping,
    meeting_store,
    names,
    organization_store,
    record_store,
)
from services.orgs.answers import Match, WantedOrganization
from services.orgs.grouping import Record as Held
from services.orgs.matching import explaining, partition
from services.orgs.matching.explaining import Why
from services.orgs.organization_store import Organization
from services.orgs.placing import NEW_RECORD
from shared import db, locks, topics
from shared.auth import Identity
from shared.events import Action, OrganizationChange, Source, dump
from shared.events import Organization as Body
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher, Record
from shared.register import Register

CREATOR_LOCK_SPACE = 0x4F02
DEADLINE_S = 10.0


class Finder:
    def __init__(self, pool: db.Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = publisher
        self._creators: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def find_or_create(
        self, asker: Identity, wanted: WantedOrganization
    ) -> tuple[Organization, Match]:
        """Raises:
        Unavailable: Postgres or Kafka is away; retrying is safe.
        """
        with db.errors():
            async with asyncio.timeout(DEADLINE_S):
                async with self._pool.acquire() as conn:
                    sought = await _sought(conn, asker.company_id, wanted)
                    found = await _found(conn, sought)
                return found or await self._create(asker, wanted)

    async def _create(
        self, asker: Identity, wanted: WantedOrganization
    ) -> tuple[Organization, Match]:
        company_id = asker.company_id
        first = _described(company_id, names.normalized(wanted.name), wanted)
        core = names.core_id(company_id, first.profile.name.core)
        assert core is not None, "a name that may be made has a key"  # noqa: S101
        meeting = {first.name_key, core, first.profile.domain or core}
        # One connection per name, not per creator: the others wait here.
        creator = self._creators.setdefault(core, asyncio.Lock())
        async with creator, self._pool.acquire() as conn, conn.transaction():
            await locks.hold(conn, CREATOR_LOCK_SPACE, meeting)
            sought = await _sought(conn, company_id, wanted)
            found = await _found(conn, sought)
            if found is not None:
                return found
            taken = await _is_taken(conn, sought)
            change = _change(asker, sought.record_id, wanted)
            topic = topics.APP_ORGANIZATIONS.name
            await self._publisher.publish([Record(topic, change.key, dump(change))])
            await applying.apply(conn, [Received(topic, change)])
            made = await organization_store.by_any_id(conn, company_id, sought.record_id)
            if made is None:
                raise LookupError(f"{company_id}: made organization {sought.record_id} is missing")
            if made.organization_id != sought.record_id:  # its companions came in between
                return made, answers.found_by_name(sought.normalized_name)
            return made, answers.created(sought.normalized_name, taken=taken)


async def _sought(conn: db.Connection, company_id: int, wanted: WantedOrganization) -> Held:
    """The request as a record: an existing one that was made for the same, if there is one."""
    normalized = names.normalized(wanted.name)
    by_name = _described(company_id, normalized, wanted)
    by_facts = _described(company_id, f"{normalized}\n{_facts(by_name)}", wanted)
    stored = await record_store.load(conn, [by_name.key, by_facts.key])
    made = {key: record for key, record in stored.items() if record.lives}
    if by_facts.key in made or by_name.key not in made:
        return made.get(by_facts.key, by_name)
    of_the_name = made[by_name.key]
    return of_the_name if _facts(of_the_name) == _facts(by_name) else by_facts


def _facts(described: Held) -> str:
    return f"{described.profile.domain or ''} {described.profile.country or ''}"


async def _is_taken(conn: db.Connection, sought: Held) -> bool:
    """Whether others have the name, and the sought record is not one of them."""
    if sought.name_key is None:
        return False
    named = await meeting_store.block(conn, [(sought.company_id, sought.name_key)])
    return any(record.lives for record in named)


def _described(company_id: int, made_under: str, wanted: WantedOrganization) -> Held:
    fields = {**NEW_RECORD.fields, **wanted.model_dump()}
    register = Register(NEW_RECORD.stamp, False, fields, {})
    return grouping.named(company_id, names.made_id(company_id, made_under), None, register)


async def _found(conn: db.Connection, sought: Held) -> tuple[Organization, Match] | None:
    if sought.home is not None:
        found = await organization_store.by_any_id(conn, sought.company_id, sought.home)
        return None if found is None else (found, answers.found_by_name(sought.normalized_name))
    block = await closure.block(conn, {}, {sought.key: sought})
    why = _why(block, sought)
    if why is None:
        return None
    other = block.after[sought.company_id, why.other]
    found = await organization_store.by_any_id(conn, sought.company_id, other.record_id)
    return None if found is None else (found, answers.found_because(why))


def _why(block: closure.Block, sought: Held) -> Why | None:
    members = {record.record_id: record.profile for record in block.after.values() if record.lives}
    formed = partition.partition(
        members,
        block.said.get(sought.company_id, ()),
        frozenset(key for _, key in block.crowded),
        frozenset(record.record_id for record in block.after.values() if not record.lives),
    )
    return explaining.why(sought.record_id, formed, members)


def _change(asker: Identity, made_id: UUID, wanted: WantedOrganization) -> OrganizationChange:
    now = datetime.now(UTC)
    return OrganizationChange(
        event_id=str(uuid4()),
        company_id=asker.company_id,
        entity="organization",
        entity_id=str(made_id),
        action=Action.CREATE,
        version=time.time_ns() // 1000,
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=Body(**wanted.model_dump(exclude_none=True), owner_id=asker.user_id),
    )
