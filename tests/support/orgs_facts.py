"""Facts about organizations and persons, valid by default, for tests of the organization store."""

from datetime import UTC, datetime
from typing import Any

import jwt
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.orgs.settings import OrgsSettings
from shared import topics
from shared.events import (
    Action,
    Activity,
    ActivityChange,
    Organization,
    OrganizationChange,
    Person,
    PersonChange,
    Source,
)
from shared.kafka.client import physical
from shared.kafka.consumer import Received

SECRET = "a secret of at least thirty-two bytes"
OURS, THEIRS = 31, 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bearer(company_id: int, user_id: int = 1) -> dict[str, str]:
    claims = {"sub": str(user_id), "company_id": company_id, "exp": 4_000_000_000}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def _envelope(entity: str, number: int, version: int, company_id: int) -> dict[str, Any]:
    return {
        "event_id": f"{entity}-{number}-{version}",
        "company_id": company_id,
        "entity": entity,
        "entity_id": str(number),
        "action": Action.CHANGE,
        "version": version,
        "occurred_at": NOW,
        "received_at": NOW,
        "source": Source.SYNC,
    }


def an_org(
    number: int, name: str | None, *, version: int = 1, company_id: int = OURS, **said: Any
) -> Received:
    """Fields of the organization or of the envelope; without a name there is no body."""
    of_envelope = {k: said.pop(k) for k in ("action", "merged_into", "merged_from") if k in said}
    change = _envelope("organization", number, version, company_id) | of_envelope
    data = None if name is None else Organization(name=name, **said)
    return Received(topics.ORGANIZATIONS.name, OrganizationChange(**change, data=data))


def a_person(
    number: int, org_id: int | None, *, version: int = 1, company_id: int = OURS
) -> Received:
    change = _envelope("person", number, version, company_id)
    person = Person(name="Ada", org_id=org_id)
    return Received(topics.PERSONS.name, PersonChange(**change, data=person))


def an_activity(
    number: int, done_at: datetime, *, person_id: int | None = None, org_id: int | None = None
) -> Received:
    """One that was done."""
    change = _envelope("activity", number, 1, OURS)
    told = {"person_id": person_id, "org_id": org_id, "marked_as_done_time": done_at}
    activity = Activity(done=True, **told)
    return Received(topics.ACTIVITIES.name, ActivityChange(**change, data=activity))


async def records_in(settings: OrgsSettings, topic: str) -> list[bytes]:
    """The value of every record of a topic."""
    name = physical(settings, topic)
    partitions = [TopicPartition(name, n) for n in range(settings.kafka_partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
    )
    consumer.assign(partitions)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(partitions)
        found: list[bytes] = []
        while len(found) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(record.value for record in batch)
        return found
    finally:
        await consumer.stop()
