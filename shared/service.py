"""What every service does before its loops begin: take its roles, prepare its store and topics."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from shared import lifecycle, migrating
from shared.kafka.client import ensure_topics
from shared.settings import Settings
from shared.topics import Topic

MIGRATIONS = Path(__file__).parent / "migrations"


TOPICS = "topics"
"""What waits for them, as outages are told."""
WORKER = "worker"
"""Every service has one, under a name of its own where that tells more."""


def roles(
    arguments: Sequence[str], known: Sequence[str], *, worker: str = WORKER
) -> frozenset[str]:
    """The roles named on the command line; all of them when none is named. `worker` is what the
    service calls its worker.

    Raises:
        SystemExit: a role is not known.
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
        lambda: ensure_topics(settings, topics, dead_letters), stop, what=TOPICS
    )


def making(
    settings: Settings, topics: Sequence[Topic], loops: Sequence[lifecycle.Loop] = ()
) -> lifecycle.Loop:
    """A loop, for a process that serves before Kafka is there, and without it. Once the topics are
    there it runs the loops that need them.
    """

    async def make_topics(stop: asyncio.Event) -> None:
        await prepare_topics(settings, topics, stop)
        await lifecycle.together(loops, stop)
        await lifecycle.idle(stop)

    return make_topics


async def prepare_store(dsn: str, schema: str, migrations: Path, stop: asyncio.Event) -> None:
    """Bring the schema up to date, waiting for Postgres as long as it takes."""
    folders = (MIGRATIONS, migrations)
    await lifecycle.persist(
        lambda: migrating.migrate(dsn, schema, folders), stop, what="migrations"
    )
