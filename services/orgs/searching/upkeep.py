"""Indexes organizations that were stored before this version's way of cutting names.

Rule 1: it takes the tenant's lock, as every writer does, a short batch at a time.
Rule 2: an older version may run beside this one for a while and write names in its own way, also
        where this one has already been; so all are checked again every hour.
"""

import asyncio
import functools
import logging
from typing import NamedTuple
from uuid import UUID

from services.orgs.applying import TENANT_LOCK_SPACE
from services.orgs.effects import OrgKey
from services.orgs.searching import index as searching_index
from shared import db, lifecycle, locks

log = logging.getLogger(__name__)

BATCH = 200
AGAIN_S = 3600.0
FIRST: OrgKey = (-1, UUID(int=0))


class Looked(NamedTuple):
    """The last organization examined, if any, and how many could not be found."""

    last: OrgKey | None
    missing: int


def upkeep(pool: db.Pool) -> lifecycle.Loop:
    async def findable(stop: asyncio.Event) -> None:
        """Goes through the store every hour, waiting for Postgres as long as it takes."""
        while not stop.is_set():
            done = await _whole(pool, stop)
            if done:
                log.info("search_caught_up", extra={"organizations": done})
            await lifecycle.wait_or_stop(AGAIN_S, stop)

    return findable


async def _whole(pool: db.Pool, stop: asyncio.Event) -> int:
    """Goes through the store once; returns how many could not be found."""
    behind: OrgKey | None = FIRST
    done = 0
    while behind is not None and not stop.is_set():
        batch = functools.partial(_batch, pool, behind)
        behind, missing = await lifecycle.persist(batch, stop, what="search") or Looked(None, 0)
        done += missing
    return done


async def _batch(pool: db.Pool, behind: OrgKey) -> Looked:
    """Index those of the next organizations that are not."""
    with db.errors():
        async with pool.acquire() as conn, conn.transaction():
            looked = await searching_index.findable(conn, behind, BATCH)
            keys = [key for key, is_right in looked.items() if not is_right]
            if keys:
                await locks.hold(conn, TENANT_LOCK_SPACE, {company_id for company_id, _ in keys})
                # Read again under the lock: some may have changed or gone meanwhile.
                named = await searching_index.named(conn, keys)
                await searching_index.keep(conn, named, before=keys)
            return Looked(next(reversed(looked), None), len(keys))
