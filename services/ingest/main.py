"""Ingest: the one door in.

`python -m services.ingest [api]`: without a role all of them run in this process.
"""

import asyncio
import gc
from collections.abc import Sequence

from services.ingest.api import Door
from services.ingest.intake import Intake
from services.ingest.settings import IngestSettings
from shared import lifecycle, service
from shared.app import Health, application, server
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.observability import configure_logs
from shared.tenants import Tenants
from shared.topics import ALL, WEBHOOKS

ROLES = ("api",)
TOPICS = tuple(topic for topic in ALL if topic.producer == "ingest")


async def main(arguments: Sequence[str]) -> None:
    roles = service.roles(arguments, ROLES)
    settings = IngestSettings()
    configure_logs(settings.log_level)
    tenants = Tenants(settings.tenants_file)
    prepared = asyncio.Event()

    async def prepare(stop: asyncio.Event) -> None:
        # Beside the server and not before it: who is turned away by a closed port knows less
        # than who is told 503.
        await service.prepare_topics(settings, TOPICS, stop, dead_letters=[WEBHOOKS])
        prepared.set()
        await stop.wait()

    async def topics_exist() -> None:
        if not prepared.is_set():
            raise Unavailable("Kafka: the topics are not there yet")

    async def tenants_known() -> None:
        if not len(tenants):
            raise Unavailable("no tenant is known: see the tenants file")

    with lifecycle.stop_on_signal() as stop:
        async with Publisher(settings, deadline_s=settings.publish_deadline_s) as publisher:
            door = Door(tenants, Intake(publisher), settings.max_body_bytes)
            app = application(
                door.endpoints() if "api" in roles else (),
                title="My-500 ingest",
                health=Health(
                    {"kafka": publisher.ping, "topics": topics_exist, "tenants": tenants_known}
                ),
                max_body_bytes=settings.max_body_bytes,
            )
            _spare_the_collector()
            await lifecycle.run(
                prepare,
                tenants.watch,
                server(app, host=settings.host, port=settings.port),
                stop=stop,
                grace_s=settings.stop_seconds,
            )


def _spare_the_collector() -> None:
    """Requests leave hardly a cycle behind, and looking through all that was imported for some
    takes longer than answering a hundred of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
