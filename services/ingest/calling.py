"""The Pipedrive clients that all parts of an ingest process share, within one budget."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingest.settings import IngestSettings
from shared.pipedrive.budget import Budget
from shared.pipedrive.client import Clients
from shared.tenants import Tenants


@asynccontextmanager
async def calling(
    settings: IngestSettings, tenants: Tenants
) -> AsyncIterator[tuple[Budget, Clients]]:
    """One per process."""
    url = settings.redis_url.get_secret_value()
    async with (
        Budget(url, sync_share=settings.sync_daily_share) as budget,
        Clients(tenants, budget) as clients,
    ):
        yield budget, clients
