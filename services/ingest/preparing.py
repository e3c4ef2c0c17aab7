"""What ingest creates at start: its topics in Kafka and its tables in Postgres.

Rule: readiness is that of the webhook door, which needs no Postgres. So whatever needs the tables
waits for them a little, and answers 503 only where something is wrong.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.ingest.settings import IngestSettings
from shared import lifecycle, service
from shared.errors import Misconfigured, Unavailable
from shared.topics import ALL, WEBHOOKS, dead_letters_of

log = logging.getLogger(__name__)

SCHEMA: Final = "ingest"
MIGRATIONS: Final = Path(__file__).parent / "migrations"
TOPICS: Final = tuple(topic for topic in ALL if "ingest" in topic.producers)
WRITTEN: Final = frozenset({*(topic.name for topic in TOPICS), dead_letters_of(WEBHOOKS)})
"""The topics that webhooks are written to."""
PATIENCE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What exists of it. One per process, shared by the users' API and the background work."""

    settings: IngestSettings
    topics: asyncio.Event = field(default_factory=asyncio.Event)
    tables: asyncio.Event = field(default_factory=asyncio.Event)

    async def make(self, stop: asyncio.Event) -> None:
        """Retries, however long it takes; neither waits for the other."""
        await lifecycle.together((self._make_topics, self._make_tables), stop)

    async def _make_topics(self, stop: asyncio.Event) -> None:
        await service.prepare_topics(self.settings, TOPICS, stop, dead_letters=[WEBHOOKS])
        if not stop.is_set():
            self.topics.set()

    async def _make_tables(self, stop: asyncio.Event) -> None:
        dsn = self.settings.database_url.get_secret_value()
        try:
            await service.prepare_store(dsn, SCHEMA, MIGRATIONS, stop)
        except Misconfigured as error:  # the door needs no tables: webhooks are taken all the same
            log.error("tables_refused", extra={"reason": str(error)})
            await lifecycle.idle(stop)
        if not stop.is_set():
            self.tables.set()

    async def has_all(self, stop: asyncio.Event) -> None:
        """Wait until all of it exists, or the process is to stop."""
        for each in (self.tables, self.topics):
            await lifecycle.first_of(None, each, stop)

    async def has_tables(self, whose: str) -> None:
        """Raises:
        Unavailable: they do not exist, and will not in a moment.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.tables.wait()
        except TimeoutError:
            raise Unavailable(f"Postgres: the tables of {whose} do not exist yet") from None
