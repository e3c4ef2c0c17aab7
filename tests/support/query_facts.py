"""Facts as the query service receives them, valid by default, and a read model for them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from services.query import batch, projector
from services.query.batch import User
from services.query.cache import Served
from services.query.contact import Key
from services.query.main import MIGRATIONS, SCHEMA
from services.query.reading import Read
from shared import db, ids, service, states, topics
from shared.kafka.consumer import Received
from shared.tenants import CustomFields

COMPANY = 501
START = datetime(2026, 3, 1, tzinfo=UTC)
NO_TENANTS = Path("/nonexistent/tenants.json")


def data_of(page: Read | Served) -> Any:
    """What a page says, closed as if nothing were said of the request."""
    return json.loads(page.body + page.status + b"}")["data"]


def changed(topic: Any, number: int, version: int, **more: Any) -> Received:
    """A change of an entity of the log; `data` null deletes it."""
    whole = {
        "event_id": f"{number}-{version}",
        "company_id": COMPANY,
        "entity": "entity",
        "entity_id": str(number),
        "action": "delete" if more.get("data") is None else "change",
        "version": version,
        "occurred_at": START,
        "received_at": START,
        "source": "webhook.v2",
    }
    return Received(topic.name, topic.model.model_validate(whole | more))


def person(number: int, version: int = 1, *, company: int = COMPANY, **data: Any) -> Received:
    body = {"name": f"Person {number}", "owner_id": 7, "add_time": START} | data
    return changed(topics.PERSONS, number, version, company_id=company, data=body)


def merged(loser: int, survivor: int, version: int) -> Received:
    into = str(survivor)
    return changed(topics.PERSONS, loser, version, data=None, merged_into=into)


def deleted(number: int, version: int) -> Received:
    return changed(topics.PERSONS, number, version, data=None)


def activity(number: int, version: int = 1, *, company: int = COMPANY, **data: Any) -> Received:
    body = {"type": "call", "subject": f"Call {number}", "done": True, "add_time": START} | data
    return changed(topics.ACTIVITIES, number, version, company_id=company, data=body)


def campaign(number: int, version: int, added: bool) -> Received:
    data = {"added_to_campaign": added}
    return changed(topics.APP_CAMPAIGN, number, version, data=data)


def link(
    number: int, organization: int | None, version: int = 1, *, company: int = COMPANY
) -> Received:
    organization_id = None if organization is None else ids.organization(company, organization)
    said = states.ContactLink(
        version=version, company_id=company, person_id=number, organization_id=organization_id
    )
    return Received(topics.CONTACT_LINKS.name, said)


def score(
    number: int,
    points: int,
    version: int = 1,
    *,
    company: int = COMPANY,
    contacted: datetime | None = None,
) -> Received:
    said = states.ScoreState(
        version=version,
        company_id=company,
        person_id=number,
        score=points,
        last_contacted=contacted,
    )
    return Received(topics.SCORES.name, said)


def organization(
    number: int, version: int = 1, *, company: int = COMPANY, **more: Any
) -> Received:
    whole = {"name": f"Organization {number}", "contact_count": 1} | more
    said = states.OrganizationState(
        version=version,
        company_id=company,
        organization_id=ids.organization(company, number),
        **whole,
    )
    return Received(topics.ORG_STATES.name, said)


def status(version: int, state: str, *, company: int = COMPANY) -> Received:
    said = states.SyncStatus(
        version=version, company_id=company, state=states.SyncState(state), processed=version
    )
    return Received(topics.SYNC_STATUS.name, said)


def history(random: Random, *, persons: int = 30, facts: int = 300) -> list[Received]:
    """An eventful life of a few contacts; no two facts of one entity share a version."""
    found = []
    for version in range(1, facts + 1):
        number = random.randrange(persons)
        other = random.randrange(persons)
        when = START + timedelta(minutes=random.randrange(10_000))
        fact = random.choice(
            [
                person(number, version, owner_id=random.choice([7, 7, 8]), add_time=when),
                person(number, version, name=f"Renamed {version}"),
                changed(topics.PERSONS, number, version, data={"job_title": f"T{version}"}),
                deleted(number, version),
                merged(number, other, version),
                changed(
                    topics.PERSONS,
                    number,
                    version,
                    data={"update_time": when},
                    merged_from=str(other),
                ),
                link(number, random.choice([None, 1, 2, 3]), version),
                link(number, random.choice([1, 2, 3]), version),
                score(number, random.randrange(11), version, contacted=when),
                score(number, random.randrange(11), version),
                campaign(number, version, random.choice([True, False])),
                activity(number, version, person_id=other, add_time=when),
                changed(topics.ACTIVITIES, number, version, data={"subject": f"S{version}"}),
                changed(topics.ACTIVITIES, number, version, data=None),
                organization(random.randrange(1, 4), version, deleted=random.random() < 0.3),
                status(version, random.choice(["running", "idle"])),
            ]
        )
        found.append(fact)
    return found


@asynccontextmanager
async def read_model(dsn: str) -> AsyncIterator[db.Pool]:
    await service.prepare_store(dsn, SCHEMA, MIGRATIONS, asyncio.Event())
    async with db.pool(dsn, SCHEMA, size=8, durable=False) as pool:
        yield pool


async def project(
    pool: db.Pool, facts: Sequence[Received], also: frozenset[Key] = frozenset()
) -> set[User]:
    """Apply facts in one transaction, again if it must be given up; who sees a difference."""
    sorted_facts = batch.sort(facts, lambda _: CustomFields())
    try:
        async with pool.acquire() as conn, conn.transaction():
            told = await projector.project(conn, sorted_facts, also)
    except projector.Crossed as crossed:
        return await project(pool, facts, crossed.persons)
    return {part.user for part in told.parts} if told is not None else set()


def contact_id(number: int, company: int = COMPANY) -> str:
    return str(ids.contact(company, number))


def organization_id(number: int, company: int = COMPANY) -> UUID:
    return ids.organization(company, number)
