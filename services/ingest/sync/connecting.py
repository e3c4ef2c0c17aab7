"""Connects a company: its webhook first, so that nothing falls between it and the full sync."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from services.ingest.sync import hooks, sync_store
from services.ingest.sync.answers import Connected
from services.ingest.sync.running import Parts
from services.ingest.sync.steps import Mode
from shared import db
from shared.tenants import Tenants

Store = Callable[[], AbstractAsyncContextManager[db.Connection]]
"""A connection to the store, whose trouble is `Unavailable`."""

CAUSE: Final = "connect"


class NoUrl(Exception):
    """Nobody says where Pipedrive reaches us, or what is said is no address."""


@dataclass(frozen=True, slots=True)
class Connecting:
    parts: Parts
    store: Store
    tenants: Tenants

    async def connect(self, company_id: int, public_url: str | None) -> Connected:
        """May be done again at any time.

        Raises:
            NoUrl, NotConnected, Refused: it cannot be done as things are.
            Unavailable: Pipedrive or Postgres is away.
        """
        client = self.parts.clients.of(company_id)
        url = _door(public_url or self.parts.settings.public_url)
        tenant = self.tenants.get(company_id)
        async with self.store() as conn:
            hook = await hooks.ensure(client, conn, tenant, url, takes_over=True)
            sync_id = await self._full_sync(conn, company_id)
        return Connected(
            webhook_id=hook.hook_id,
            webhook_url=url,
            registered_because=hook.mended,
            sync_id=sync_id,
        )

    async def _full_sync(self, conn: db.Connection, company_id: int) -> UUID:
        """One that is open already serves: what it has passed, the webhook and the next delta see
        to.
        """
        sync_id, _ = await sync_store.ask(conn, company_id, Mode.FULL, CAUSE)
        return sync_id


def _door(public_url: str | None) -> str:
    if not public_url:
        raise NoUrl("Say where Pipedrive reaches this service: set PUBLIC_URL or give a url.")
    parts = urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoUrl(f"Not an http(s) address of this service: {public_url[:200]!r}")
    return hooks.door(public_url)
