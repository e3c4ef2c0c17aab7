"""Finds a tenant's organization by name, or makes it.

Rule 1: creators of one name wait for one another, in this process and across instances, so one
        of them makes it and the others find it.
Rule 2: what a user made is in the log before it is in the store, so a rebuild has it; the worker
        that meets it there again changes nothing.
"""

import asyncio
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from services.orgs import applying, names, organization_store, record_store
from services.orgs.answers import Match, WantedOrganization
from services.orgs.organization_store import Organization
from shared import db, topics
from shared.events import Action, OrganizationChange, Source, dump
from shared.events import Organization as Body
from shared.kafka.consumer import Received
from shared.kafka.publisher import Publisher, Record

CREATOR_LOCK_SPACE = 0x4F02
DEADLINE_S = 10.0


class Finder:
    def __init__(self, pool: db.Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = publisher
        self._creators: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def find_or_create(
        self, company_id: int, wanted: WantedOrganization
    ) -> tuple[Organization, Match]:
        """Raises:
        Unavailable: Postgres or Kafka is away; asking again is safe.
        """
        normalized_name = names.normalized(wanted.name)
        made_id = names.made_id(company_id, normalized_name)
        with db.errors():
            async with asyncio.timeout(DEADLINE_S):
                found = await _of_name(self._pool, company_id, made_id)
                if found is None:
                    found, made = await self._create(company_id, made_id, wanted)
                else:
                    made = False
        return found, _match(normalized_name, made=made)

    async def _create(
        self, company_id: int, made_id: UUID, wanted: WantedOrganization
    ) -> tuple[Organization, bool]:
        """The organization, and whether this call made it."""
        # One connection per name, not one per creator: the others wait here.
        creator = self._creators.setdefault(made_id, asyncio.Lock())
        async with creator, self._pool.acquire() as conn, conn.transaction():
            await db.lock(conn, CREATOR_LOCK_SPACE, [made_id])
            found = await _of_name(conn, company_id, made_id)
            if found is not None:
                return found, False
            change = _change(company_id, made_id, wanted)
            topic = topics.APP_ORGANIZATIONS.name
            await self._publisher.publish([Record(topic, change.key, dump(change))])
            await applying.apply(conn, [Received(topic, change)])
            found = await organization_store.by_any_id(conn, company_id, made_id)
            if found is None:
                raise LookupError(f"{company_id}: made organization {made_id} is not there")
            return found, found.organization_id == made_id


async def by_id(pool: db.Pool, company_id: int, organization_id: UUID) -> Organization | None:
    """The organization that an id leads to; survivors answer for those that went into them."""
    with db.errors():
        return await organization_store.by_any_id(pool, company_id, organization_id)


async def _of_name(
    conn: db.Connection | db.Pool, company_id: int, name_key: UUID
) -> Organization | None:
    organization_id = await record_store.of_name(conn, company_id, name_key)
    if organization_id is None:
        return None
    return await organization_store.by_any_id(conn, company_id, organization_id)


def _change(company_id: int, made_id: UUID, wanted: WantedOrganization) -> OrganizationChange:
    now = datetime.now(UTC)
    return OrganizationChange(
        event_id=str(uuid4()),
        company_id=company_id,
        entity="organization",
        entity_id=str(made_id),
        action=Action.CREATE,
        version=time.time_ns() // 1000,
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=Body(**wanted.model_dump(exclude_none=True)),
    )


def _match(normalized_name: str, *, made: bool) -> Match:
    if made:
        reason = f"No organization had the normalized name '{normalized_name}', so it was made."
        return Match(rule="created", reason=reason)
    reason = f"This organization has the normalized name '{normalized_name}'."
    return Match(rule="normalized_name", reason=reason)
