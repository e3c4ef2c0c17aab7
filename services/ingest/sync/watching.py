"""Watches our webhooks: one that was deleted or switched off is registered again.

Rule 1: what was lost meanwhile is read by a delta that begins at the last event that arrived: at
        once or, if a sync is unfinished, right after it.
Rule 2: checking and repairing take a few calls and may exceed sync's share of the day: a webhook
        that is missing until midnight loses more than the share saves. The delta keeps to it.
Rule 3: credentials changed in the tenants file are sent to Pipedrive at once: until then what it
        sends is refused. A failure is retried after some minutes.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from services.ingest.sync import connection_store, hooks, sync_store
from services.ingest.sync.claim import Work, claimed
from services.ingest.sync.running import Parts
from services.ingest.sync.steps import Mode
from shared import db, heart, lifecycle
from shared.errors import Unavailable
from shared.observability import HOOKS_MENDED
from shared.pipedrive.errors import PipedriveRefused
from shared.tenants import Tenant, Tenants

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
AGAIN_S: Final = 300.0
AT_ONCE: Final = 4
"""Companies that one process checks at a time; each takes a connection."""
CAUSE: Final = "hook"


class Watcher:
    def __init__(self, parts: Parts, pool: db.Pool, tenants: Tenants) -> None:
        self._parts = parts
        self._pool = pool
        self._tenants = tenants
        self._seen: Mapping[int, Tenant] | None = None
        self._digests: dict[int, bytes] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not await lifecycle.wait_or_stop(LOOK_S, stop):
            await lifecycle.persist(lambda: self._round(stop), stop, what="hooks")

    async def _round(self, stop: asyncio.Event) -> None:
        with db.errors():
            async with self._pool.acquire() as conn:
                waiting = await self._due(conn)

        async def look(stop: asyncio.Event) -> None:
            while waiting and not stop.is_set():
                heart.beat()
                await self._look(waiting.pop())

        await lifecycle.together([look] * min(AT_ONCE, len(waiting)), stop)

    async def _look(self, company_id: int) -> None:
        try:
            await self._check(company_id)
        except (Unavailable, PipedriveRefused) as trouble:
            log.warning(
                "hook_check_failed", extra={"company_id": company_id, "reason": str(trouble)}
            )

    async def _due(self, conn: db.Connection) -> list[int]:
        """Differing credentials do not wait, once after each change of the tenants file."""
        tenants, every_s = self._tenants.all(), self._parts.settings.hook_check_seconds
        is_news = tenants is not self._seen
        if is_news:
            self._digests = {one: hooks.digest(tenant) for one, tenant in tenants.items()}
        differing_s = 0.0 if is_news else min(every_s, AGAIN_S)
        found = await connection_store.to_check(
            conn, every_s, self._digests, differing_s=differing_s
        )
        self._seen = tenants
        return found

    async def _check(self, company_id: int) -> None:
        """A sync that holds the company does not keep the webhook from being checked: both only
        add to what is there.
        """
        client = self._parts.clients.of(company_id)
        async with claimed(self._parts.dsn, company_id, Work.WEBHOOK) as conn:
            if conn is None:
                return  # it is being connected
            with db.errors():
                link = await connection_store.link(conn, company_id)
            if link is None or link.hook_url is None:
                return
            tenant = self._tenants.get(company_id)
            registered = await hooks.ensure(client, conn, tenant, link.hook_url)
            if registered.mended is None:
                return
            HOOKS_MENDED.labels(registered.mended).inc()
            with db.errors():
                await sync_store.ask(conn, company_id, Mode.INCREMENTAL, CAUSE)
