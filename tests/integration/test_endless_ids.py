"""An id that no index holds is put aside by each store, and what follows is applied."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from services.ingest import preparing
from services.ingest.sync import hearing
from services.scoring import main
from services.scoring.consumer import Scorer
from shared import db, service, topics
from shared.events import Action, Lead, LeadChange, Source, dump
from shared.kafka.client import physical
from shared.kafka.consumer import Apply, Consumer
from shared.kafka.publisher import Publisher, Record
from shared.settings import StoreSettings
from shared.tenants import Tenants
from shared.topics import Topic
from tests.support.infra import Infra
from tests.support.waiting import until

pytestmark = pytest.mark.integration

COMPANY = 11
NOW = datetime(2026, 6, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reader:
    """A service's way of reading leads, and how its store says which it has."""

    schema: str
    migrations: Path
    topic: Topic
    apply: Apply
    leads: str


def readers(tenants: Tenants) -> list[Reader]:
    heard = next(topic for topic in hearing.TOPICS if topic.name == topics.LEADS.name)
    return [
        Reader(
            "scoring",
            main.MIGRATIONS,
            topics.LEADS,
            Scorer(tenants).apply,
            "SELECT lead_id FROM leads",
        ),
        Reader(
            "ingest",
            preparing.MIGRATIONS,
            heard,
            hearing.apply,
            "SELECT convert_from(place, 'UTF8') FROM known",
        ),
    ]


def a_lead(lead_id: str) -> Record:
    change = LeadChange(
        event_id=secrets.token_hex(4),
        company_id=COMPANY,
        entity="lead",
        entity_id=lead_id,
        action=Action.CHANGE,
        version=(NOW - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND,
        occurred_at=NOW,
        received_at=NOW,
        source=Source.WEBHOOK_V2,
        data=Lead(title="A lead", person_id=8),
    )
    return Record(topics.LEADS.name, change.key, dump(change))


@pytest.mark.parametrize("schema", ["scoring", "ingest"])
async def test_an_endless_id_in_the_log_is_put_aside_and_what_follows_is_applied(
    infra: Infra, database_url: str, topic_prefix: str, tmp_path: Path, schema: str
) -> None:
    tenants_file = tmp_path / "tenants.json"
    tenants_file.write_text("[]")
    [reader] = [each for each in readers(Tenants(tenants_file)) if each.schema == schema]
    settings = StoreSettings(
        kafka_bootstrap_servers=infra.kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_group_prefix=topic_prefix,
        kafka_partitions=1,
    )
    stop = asyncio.Event()
    await service.prepare_store(database_url, schema, reader.migrations, stop)
    await service.prepare_topics(settings, [topics.LEADS], stop)
    endless = a_lead(secrets.token_hex(4_000))
    sent = [a_lead("before"), endless, *(a_lead(f"after-{n}") for n in range(5))]

    async with (
        db.pool(database_url, schema, size=3) as pool,
        Publisher(settings, deadline_s=10) as publisher,
        asyncio.TaskGroup() as group,
    ):
        await publisher.publish(sent)
        consumer = Consumer(
            settings,
            service=schema,
            topics=[reader.topic],
            pool=pool,
            apply=reader.apply,
            publisher=publisher,
        )
        group.create_task(consumer.run(stop))

        async def has_read_all() -> bool:
            read = "SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets"
            return bool(await pool.fetchval(read) == len(sent))

        await until(has_read_all)
        stored = [row[0] for row in await pool.fetch(reader.leads)]
        letters = await _letters(settings)
        stop.set()

    assert sorted(stored) == ["after-0", "after-1", "after-2", "after-3", "after-4", "before"]
    assert letters == [endless.value]


async def _letters(settings: StoreSettings) -> Sequence[bytes | None]:
    """Those of leads."""
    consumer = AIOKafkaConsumer(
        physical(settings, topics.dead_letters_of(topics.LEADS.name)),
        bootstrap_servers=settings.kafka_bootstrap_servers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(sum(ends.values()))]
    finally:
        await consumer.stop()
