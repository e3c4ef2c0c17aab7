"""What every service does before its loops start: parse its roles, prepare its store and
topics.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from shared import lifecycle, migrating
from shared.kafka.client import ensure_topics
from shared.settings import Settings
from shared.topics import Topic

MIGRATIONS = Path(__file__).parent / "migrations"


TOPICS = "topics"
"""The name under which waiting for them appears in logs."""
WORKER = "worker"
"""Every service has one, under a more specific name where there is one."""


def roles(
    arguments: Sequence[str], known: Sequence[str], *, worker: str = WORKER
) -> frozenset[str]:
    """The roles named on the command line; all if there are none. `worker` is the service's name
    for its worker.

    Raises:
        SystemExit: a role is unknown.
    """
    named = {worker if name == WORKER else name for name in arguments}
    strange = sorted(named - set(known))
    if strange:
        raise SystemExit(f"no such role: {', '.join(strange)} (known: {', '.join(known)})")
    return frozenset(named or known)


async def prepare_topics(
    settings: Settings,
    topics: Sequence[Topic],
    stop: asyncio.Event,
    *,
    dead_letters: Sequence[str] = (),
) -> None:
    """Create what is missing, waiting for Kafka as long as it takes.

    `dead_letters` are origins that have dead letters and no topic of their own.
    """
    await lifecycle.persist(
        lambda: ensure_topics(settings, topics, dead_letters, stop=stop), stop, what=TOPICS
    )


def making(
    settings: Settings, topics: Sequence[Topic], loops: Sequence[lifecycle.Loop] = ()
) -> lifecycle.Loop:
    """A loop, for a process that serves before Kafka is up, and without it. Once the topics exist
    it runs the loops that need them.
    """

    async def make_topics(stop: asyncio.Event) -> None:
        await prepare_topics(settings, topics, stop)
        await lifecycle.together(loops, stop)
        await lifecycle.idle(stop)

    return make_topics


async def prepare_store(dsn: str, schema: str, migrations: Path, stop: asyncio.Event) -> None:
    """Migrate the schema, waiting for Postgres as long as it takes."""
    folders = (MIGRATIONS, migrations)
    await lifecycle.persist(
        lambda: migrating.migrate(dsn, schema, folders), stop, what="migrations"
    )
