"""Puts together what stores records: the outlet, the spools behind it, and their loops."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote

from services.ingest.draining import Draining
from services.ingest.outlet import Outlet
from services.ingest.settings import IngestSettings
from services.ingest.spool import slots
from services.ingest.spool.spool import Spool
from services.ingest.spool.spools import Spools
from services.ingest.spool.tending import Tending
from shared import lifecycle
from shared.kafka.publisher import Publisher

UNPREFIXED = "records"


@asynccontextmanager
async def stored(
    settings: IngestSettings, publisher: Publisher, prepared: Callable[[], bool]
) -> AsyncIterator[tuple[Outlet, Sequence[lifecycle.Loop]]]:
    """Open, if the disk allows it; else the loops keep trying."""
    # What waits for one set of topics must not be sent to another.
    root = settings.spool_dir / quote(settings.kafka_topic_prefix or UNPREFIXED, safe="")
    own = Spool(partial(slots.claim, root), max_bytes=settings.spool_max_bytes)
    spools = Spools(own)
    outlet = Outlet(publisher, spools, deadline_s=settings.publish_deadline_seconds)
    draining = Draining(publisher, outlet, spools, prepared=prepared)
    tending = Tending(spools, root)
    await tending.open_own()
    try:
        yield outlet, (draining.run, tending.run)
    finally:
        await spools.close()
