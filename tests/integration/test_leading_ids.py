"""Every id of an organization's records answers with it, in the read model as in its own store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple
from uuid import UUID

import pytest

from services.orgs import applying
from services.orgs.main import MIGRATIONS, SERVICE
from services.query import store
from shared import db, ids, service, topics
from shared.events import Action, parse
from shared.kafka.consumer import Received
from shared.states import ContactLink, OrganizationState
from tests.support import query_facts
from tests.support.orgs_facts import OURS, a_person, an_org

pytestmark = pytest.mark.integration

LEADING = MIGRATIONS / "0004_leading_ids.sql"
STATES: dict[str, type[OrganizationState | ContactLink]] = {
    topics.ORG_STATES.name: OrganizationState,
    topics.CONTACT_LINKS.name: ContactLink,
}


class Stores(NamedTuple):
    orgs: db.Pool
    query: db.Pool

    async def tell(self, *batch: Received) -> None:
        """In one batch; what it makes true reaches the read model."""
        async with self.orgs.acquire() as conn, conn.transaction():
            await applying.apply(conn, batch)
        await self.relay()

    async def relay(self) -> None:
        rows = await self.orgs.fetch("DELETE FROM outbox RETURNING topic, payload")
        states = [Received(row[0], parse(STATES[row[0]], row[1])) for row in rows]
        await query_facts.project(self.query, states)

    async def found(self, number: int) -> UUID | None:
        """The organization whose contacts are shown for the id of a record."""
        async with self.query.acquire() as conn:
            return await store.living_organization(conn, OURS, ids.organization(OURS, number))


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[Stores]:
    await service.prepare_store(database_url, SERVICE, MIGRATIONS, asyncio.Event())
    async with (
        db.pool(database_url, SERVICE, size=2, durable=False) as orgs,
        query_facts.read_model(database_url) as query,
    ):
        yield Stores(orgs, query)


ONE, TWO = an_org(1, "Acme"), an_org(2, "Acme")


@pytest.mark.parametrize(
    "batches", [[(ONE,), (TWO,)], [(TWO,), (ONE,)], [(ONE, TWO)]], ids=["up", "down", "at once"]
)
async def test_an_id_that_never_stood_alone_answers_as_one_that_did(
    stores: Stores, batches: Sequence[Sequence[Received]]
) -> None:
    for batch in batches:
        await stores.tell(*batch)
    await stores.tell(a_person(8, 2))

    assert await stores.found(1) == ids.organization(OURS, 1)
    assert await stores.found(2) == ids.organization(OURS, 1)


async def test_an_id_answers_with_whatever_its_record_belongs_to_now(stores: Stores) -> None:
    await stores.tell(an_org(5, "Acme"))
    await stores.tell(an_org(7, "Acme"))
    assert await stores.found(7) == ids.organization(OURS, 5)

    await stores.tell(an_org(3, "Acme"))
    assert await stores.found(7) == ids.organization(OURS, 3)

    await stores.tell(an_org(7, "Another", version=2))
    assert await stores.found(7) == ids.organization(OURS, 7)

    await stores.tell(an_org(7, None, version=3, action=Action.DELETE, merged_into="5"))
    assert await stores.found(7) == ids.organization(OURS, 3)

    for number in (3, 5):
        await stores.tell(an_org(number, None, version=2, action=Action.DELETE))
    assert await stores.found(7) is None


async def test_a_record_that_was_merged_away_before_it_was_heard_of_answers(
    stores: Stores,
) -> None:
    await stores.tell(an_org(9, None, version=2, action=Action.DELETE, merged_into="4"))
    assert await stores.found(9) is None

    await stores.tell(an_org(4, "Acme"))
    assert await stores.found(9) == ids.organization(OURS, 4)


async def test_ids_of_a_store_that_did_not_tell_where_they_lead_are_told(stores: Stores) -> None:
    await stores.tell(ONE, TWO, an_org(3, "Another"))
    for pool in stores:
        await pool.execute("DELETE FROM organizations WHERE merged_into IS NOT NULL")
    assert await stores.found(2) is None

    for _ in range(2):
        await stores.orgs.execute(LEADING.read_text())
        await stores.relay()

    assert [await stores.found(number) for number in (1, 2, 3)] == [
        ids.organization(OURS, number) for number in (1, 1, 3)
    ]
