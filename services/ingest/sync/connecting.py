"""Connects a company: its webhook first, so that nothing falls between it and the full sync.

Rule: a caller that waits for Pipedrive holds no connection of the pool, since others need those.
It has a separate one, so only a few companies are connected at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from services.ingest.sync import hooks, sync_store
from services.ingest.sync.answers import Connected
from services.ingest.sync.claim import Work, claimed
from services.ingest.sync.hooks import Registered
from services.ingest.sync.running import Parts
from services.ingest.sync.steps import Mode
from shared import db
from shared.errors import Unavailable
from shared.pipedrive.client import Pipedrive
from shared.tenants import Tenants

Store = Callable[[], AbstractAsyncContextManager[db.Connection]]
"""A connection to the store, with failures turned into `Unavailable`."""

CAUSE: Final = "connect"
PATIENCE_S: Final = 15.0
AT_ONCE: Final = 10


class NoUrl(Exception):
    """The public URL is not known, or is not a valid address."""


@dataclass(frozen=True, slots=True)
class Connecting:
    parts: Parts
    store: Store
    tenants: Tenants
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def connect(self, company_id: int, public_url: str | None) -> Connected:
        """Can be repeated at any time.

        Raises:
            NoUrl, NotConnected, PipedriveRefused: the present setup does not allow it.
            Unavailable: Pipedrive or Postgres is away.
        """
        client = self.parts.clients.of(company_id)
        url = door_at(public_url or self.parts.settings.public_url)
        async with self.store():
            pass  # fails before anything is registered that could not be recorded
        async with self._turn():
            hook = await self._registered(client, url)
        async with self.store() as conn:
            sync_id = await self._full_sync(conn, company_id)
        return Connected(
            webhook_id=hook.hook_id,
            webhook_url=url,
            registered_because=hook.mended,
            sync_id=sync_id,
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Raises:
        Unavailable: the others did not finish in time.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("too many companies are being connected") from error
        try:
            yield
        finally:
            self._turns.release()

    async def _registered(self, client: Pipedrive, url: str) -> Registered:
        """Of concurrent callers one registers the webhook and the others find it."""
        company_id, dsn = client.company_id, self.parts.dsn
        async with claimed(dsn, company_id, Work.WEBHOOK, patience_s=PATIENCE_S) as alone:
            if alone is None:
                raise Unavailable("another process is working on the webhook")
            tenant = self.tenants.get(company_id)
            return await hooks.ensure(client, alone, tenant, url, takes_over=True)

    async def _full_sync(self, conn: db.Connection, company_id: int) -> UUID:
        """An unfinished full one serves as well: what it has passed, the webhook and the next
        delta cover. After an unfinished incremental one the full one is due.
        """
        sync_id, is_own = await sync_store.ask(conn, company_id, Mode.FULL, CAUSE)
        if not is_own:
            await sync_store.make_full_due(conn, company_id, sync_id)
        return sync_id


def door_at(public_url: str | None) -> str:
    """The URL to which Pipedrive sends its webhooks.

    Raises:
        NoUrl: it is missing, or not a valid address.
    """
    if not public_url:
        raise NoUrl("Pipedrive needs this service's public URL: set PUBLIC_URL or give a url.")
    if not _is_base(public_url):
        raise NoUrl(f"Not an http(s) address of this service: {public_url[:200]!r}")
    return hooks.door(public_url)


def _is_base(url: str) -> bool:
    """Whether a path can be appended to it."""
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = url.isprintable() and not any(char.isspace() for char in url)
    is_whole = bool(parts.hostname) and has_port and not (parts.query or parts.fragment)
    return is_plain and is_whole and parts.scheme in ("http", "https")
