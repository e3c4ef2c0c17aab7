"""Makes organizations findable that were stored before this version's way of cutting names.

Rule: it takes the tenant's lock, as every writer does, a short batch at a time.
"""

import asyncio
import functools
import logging
from uuid import UUID

from services.orgs.applying import TENANT_LOCK_SPACE
from services.orgs.effects import OrgKey
from services.orgs.searching import index as searching_index
from shared import db, lifecycle, locks

log = logging.getLogger(__name__)

BATCH = 200
FIRST: OrgKey = (-1, UUID(int=0))


def upkeep(pool: db.Pool) -> lifecycle.Loop:
    async def findable(stop: asyncio.Event) -> None:
        """Goes through the store once, waiting for Postgres as long as it takes."""
        keys, done = [FIRST], 0
        while keys and not stop.is_set():
            batch = functools.partial(_batch, pool, keys[-1])
            keys = await lifecycle.persist(batch, stop, what="search") or []
            done += len(keys)
        if done:
            log.info("search_caught_up", extra={"organizations": done})
        await lifecycle.idle(stop)

    return findable


async def _batch(pool: db.Pool, behind: OrgKey) -> list[OrgKey]:
    """The next organizations that could not be found and can be; none at the end."""
    with db.errors():
        async with pool.acquire() as conn, conn.transaction():
            keys = await searching_index.missing(conn, behind, BATCH)
            if keys:
                await locks.hold(conn, TENANT_LOCK_SPACE, {company_id for company_id, _ in keys})
                # Read again under the lock: some may have changed or gone meanwhile.
                named = await searching_index.named(conn, keys)
                await searching_index.keep(conn, named, before=keys)
            return keys
